//! Images that bring what boots them, and work seeds.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::fs::{self, File};
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use api::{ApiError, BootWay, CreateVm, ErrorCode, ImportKernel, RegisterImage};
use engine::Engine;
use rootfs::erofs::{Builder, Options};
use support::{Host, delete, vm};
use testkit::kernel::{tar_of, vmlinux};

async fn send(engine: &Engine, name: &str, request: RegisterImage) -> Result<(), ApiError> {
    let operation = engine.images().register(name, request).await;
    operation.map_err(|error| error.to_api())?.wait().await.map(drop)
}

/// Of the root disk; the smallest that a VM may have, and a bit.
const LENGTH: u64 = 257 << 20;

/// What differs between any two file systems.
fn superblock(disk: &Path) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    File::open(disk).unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

fn ours(host: &Host) -> Vec<String> {
    let entries = fs::read_dir(host.paths.images()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// An EROFS of the user's.
fn read_only(folder: &Path) -> String {
    let path = folder.join("root.erofs");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    Builder::new(&mut file, Options::default())
        .unwrap()
        .finish()
        .unwrap();
    path.to_str().unwrap().to_owned()
}

/// An ext4 of the user's, and a kernel with an initrd that came with the image.
async fn direct(engine: &Engine, disk: &Path, name: &str) -> RegisterImage {
    let body = tar_of(&[("vmlinux", &vmlinux("6.12.3")), ("initrd.img", b"an initrd")]);
    let request = ImportKernel {
        distro: None,
        of_image: true,
    };
    let imported = engine.kernels().import(name, request, Cursor::new(body)).await;
    imported.unwrap();
    let path = disk.join("root.ext4");
    let file = File::create(&path).unwrap();
    file.set_len(LENGTH).unwrap();
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4"])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    RegisterImage {
        rootfs: path.to_str().unwrap().to_owned(),
        kernel: Some(name.to_owned()),
        boot: BootWay::Direct,
        ..RegisterImage::default()
    }
}

#[tokio::test]
async fn a_disk_that_its_own_initrd_boots_is_copied_for_each_vm_and_its_kernel_goes_with_it() {
    let (host, disk) = (Host::new(), tempfile::tempdir().unwrap());
    let engine = host.engine().await;
    let request = direct(&engine, disk.path(), "own").await;
    let file = PathBuf::from(&request.rootfs);
    send(&engine, "own", request).await.unwrap();
    assert_eq!(engine.images().show("own").await.unwrap().boot, BootWay::Direct);
    let error = engine.images().export("own").await.unwrap_err().to_api();
    assert!(error.message.contains("which a bundle does not hold"), "{error}");
    let small = CreateVm {
        image: Some("own".into()),
        disk_size: Some(LENGTH - (1 << 20)),
        ..vm("a", true)
    };
    let created = engine
        .vms()
        .create(small)
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    let layer = host.paths.vm(&created.id).join("layer.ext4");
    assert_eq!(created.disk_size, LENGTH, "as large as what it begins as");
    assert_eq!(fs::metadata(&layer).unwrap().len(), LENGTH);
    assert!(superblock(&layer) == superblock(&file));
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    fs::remove_file(&file).unwrap();
    engine.vms().start("a").await.unwrap().wait().await.unwrap();
    let create = CreateVm {
        image: Some("own".into()),
        ..vm("b", false)
    };
    let error = engine
        .vms()
        .create(create)
        .await
        .unwrap()
        .wait()
        .await
        .unwrap_err();
    assert!(error.message.contains("No such file"), "{error}");
    let error = engine.kernels().delete("own").await.unwrap_err().to_api();
    assert_eq!(error.code, ErrorCode::KernelInUse);
    delete(&engine, "a").await;
    engine.images().delete("own").await.unwrap();
    let kernels = engine.kernels().list().await.unwrap();
    assert!(kernels.iter().all(|kernel| kernel.name != "own"), "{kernels:?}");
}

#[tokio::test]
async fn what_cannot_boot_directly_is_refused_and_says_why() {
    let (host, disk) = (Host::new(), tempfile::tempdir().unwrap());
    let engine = host.engine().await;
    let request = direct(&engine, disk.path(), "own").await;
    let without = RegisterImage {
        kernel: Some("cloud".into()),
        ..request.clone()
    };
    let error = send(&engine, "mine", without).await.unwrap_err();
    assert!(
        error
            .message
            .ends_with("kernel `cloud`: it has no initrd of its own, which the image would boot"),
        "{error}"
    );
    let read_only = RegisterImage {
        rootfs: read_only(disk.path()),
        ..request.clone()
    };
    let error = send(&engine, "mine", read_only).await.unwrap_err();
    assert!(error.message.contains("it is read-only"), "{error}");
    let relative = RegisterImage {
        work_seed: Some("seed.tar".into()),
        ..request.clone()
    };
    let error = send(&engine, "mine", relative).await.unwrap_err();
    assert!(
        error
            .message
            .contains("work seed `seed.tar`: it is not an absolute path"),
        "{error}"
    );
    assert!(engine.images().list().await.unwrap().is_empty());
    send(&engine, "own", request).await.unwrap();
    let other = CreateVm {
        image: Some("own".into()),
        kernel: Some("cloud".into()),
        ..vm("a", true)
    };
    let error = engine.vms().create(other).await.unwrap_err().to_api();
    assert!(error.message.contains("it has no initrd of its own"), "{error}");
    assert_eq!(ours(&host), Vec::<String>::new());
}

#[tokio::test]
async fn a_work_seed_is_kept_as_long_as_something_needs_it() {
    let (host, disk) = (Host::new(), tempfile::tempdir().unwrap());
    let engine = host.engine().await;
    let seed = disk.path().join("seed");
    let request = |seed: &Path| RegisterImage {
        rootfs: read_only(disk.path()),
        work_seed: Some(seed.to_str().unwrap().to_owned()),
        ..RegisterImage::default()
    };
    fs::write(&seed, "text").unwrap();
    let error = send(&engine, "mine", request(&seed)).await.unwrap_err();
    let told = format!(
        "cannot use {} for image `mine`: it is neither a tar",
        seed.display()
    );
    assert!(error.message.starts_with(&told), "{error}");
    assert_eq!(ours(&host), Vec::<String>::new());
    fs::write(&seed, tar_of(&[("greeting", b"hello")])).unwrap();
    send(&engine, "mine", request(&seed)).await.unwrap();
    let digest = engine.images().show("mine").await.unwrap().work_seed.unwrap();
    fs::remove_file(&seed).unwrap();
    assert_eq!(engine.images().prune(false).await.unwrap().file_systems, 0);
    assert_eq!(ours(&host), [format!("{digest}.seed")]);
    engine.images().delete("mine").await.unwrap();
    assert_eq!(ours(&host), Vec::<String>::new());
}
