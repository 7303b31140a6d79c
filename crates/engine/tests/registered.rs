//! Images whose root file system is a file of the user's.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use api::{ApiError, CreateVm, ErrorCode, ImageKind, RegisterImage};
use engine::Engine;
use rootfs::erofs::{Builder, Entry, Options};
use support::{Host, delete, vm};

/// A folder of the user's with a root file system in it.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.write(b"as it was");
        disk
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("root.erofs")
    }

    fn write(&self, content: &[u8]) {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path())
            .unwrap();
        let mut builder = Builder::new(&mut file, Options::default()).unwrap();
        builder
            .add(&Entry::file(b"etc/motd", content.len() as u64), content)
            .unwrap();
        builder.finish().unwrap();
    }
}

async fn register(engine: &Engine, name: &str, path: &Path) -> Result<(), ApiError> {
    let request = RegisterImage {
        rootfs: path.to_str().unwrap().to_owned(),
        ..RegisterImage::default()
    };
    let operation = engine.images().register(name, request).await;
    operation.map_err(|error| error.to_api())?.wait().await.map(drop)
}

async fn run_from(engine: &Engine, name: &str, image: &str) {
    let request = CreateVm {
        image: Some(image.into()),
        ..vm(name, true)
    };
    engine.vms().create(request).await.unwrap().wait().await.unwrap();
}

async fn stop(engine: &Engine, name: &str) {
    engine.vms().stop(name).await.unwrap().wait().await.unwrap();
}

async fn start(engine: &Engine, name: &str) -> Result<(), ApiError> {
    engine.vms().start(name).await.unwrap().wait().await.map(drop)
}

fn ours(host: &Host) -> Vec<String> {
    let entries = fs::read_dir(host.paths.images()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn a_registered_file_is_read_where_it_lies_and_never_changed_or_removed() {
    let (host, disk) = (Host::new(), Disk::new());
    let before = fs::read(disk.path()).unwrap();
    let engine = host.engine().await;
    register(&engine, "mine", &disk.path()).await.unwrap();
    let image = engine.images().show("mine").await.unwrap();
    assert_eq!(
        (image.kind, image.file.as_deref(), image.bytes),
        (ImageKind::Registered, disk.path().to_str(), before.len() as u64)
    );
    assert_eq!(ours(&host), Vec::<String>::new());
    run_from(&engine, "a", "mine").await;
    let error = engine.images().delete("mine").await.unwrap_err().to_api();
    assert_eq!(error.code, ErrorCode::ImageInUse);
    delete(&engine, "a").await;
    engine.images().delete("mine").await.unwrap();
    assert_eq!(fs::read(disk.path()).unwrap(), before);
}

#[tokio::test]
async fn a_registered_file_that_vanished_or_changed_is_told_and_starts_nothing() {
    let (host, disk) = (Host::new(), Disk::new());
    let engine = host.engine().await;
    register(&engine, "mine", &disk.path()).await.unwrap();
    run_from(&engine, "a", "mine").await;
    stop(&engine, "a").await;
    let aside = disk.0.path().join("aside");
    fs::rename(disk.path(), &aside).unwrap();
    let path = disk.path();
    let told = format!("cannot use {} for image `mine`: ", path.display());
    let error = start(&engine, "a").await.unwrap_err();
    assert!(
        error.message.contains(&told) && error.message.contains("No such file"),
        "{error}"
    );
    assert!(error.hint.unwrap().starts_with("put it back where it was"));
    disk.write(b"something else");
    let error = start(&engine, "a").await.unwrap_err();
    assert!(
        error.message.contains("it has changed since it was registered"),
        "{error}"
    );
    let error = engine
        .images()
        .promote("mine")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap_err();
    assert!(
        error.message.contains("it has changed since it was registered"),
        "{error}"
    );
    fs::rename(&aside, disk.path()).unwrap();
    start(&engine, "a").await.unwrap();
    assert_eq!(ours(&host), Vec::<String>::new());
}

#[tokio::test]
async fn a_promoted_image_needs_the_users_file_no_more_and_its_vms_go_on() {
    let (host, disk) = (Host::new(), Disk::new());
    let engine = host.engine().await;
    register(&engine, "mine", &disk.path()).await.unwrap();
    run_from(&engine, "a", "mine").await;
    stop(&engine, "a").await;
    let registered = engine.images().show("mine").await.unwrap();
    engine
        .images()
        .promote("mine")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let bytes = fs::read(disk.path()).unwrap();
    fs::remove_file(disk.path()).unwrap();
    let promoted = engine.images().show("mine").await.unwrap();
    assert_eq!(
        (promoted.id, promoted.kind, promoted.file),
        (registered.id.clone(), ImageKind::Promoted, None)
    );
    let copy = format!("{}.erofs", registered.id);
    assert_eq!(ours(&host), std::slice::from_ref(&copy));
    assert!(fs::read(host.paths.images().join(copy)).unwrap() == bytes);
    start(&engine, "a").await.unwrap();
    run_from(&engine, "b", "mine").await;
    let again = engine
        .images()
        .promote("mine")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap_err();
    assert_eq!(
        again.message,
        "image `mine`: it is not a registered one: banger has its file already"
    );
    for name in ["a", "b"] {
        delete(&engine, name).await;
    }
    engine.images().delete("mine").await.unwrap();
    assert_eq!(ours(&host), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_root_file_system_is_refused_and_says_what_it_is() {
    let (host, disk) = (Host::new(), Disk::new());
    let engine = host.engine().await;
    register(&engine, "mine", &disk.path()).await.unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = disk.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let qcow2 = file("qcow2", b"QFI\xfb\0\0\0\x03");
    let text = file("text", b"text");
    let cut = file("cut", &fs::read(disk.path()).unwrap()[..4096]);
    let pipe = disk.0.path().join("pipe");
    testkit::make_fifo(&pipe);
    for (name, path, code, why) in [
        (
            "x",
            qcow2.as_path(),
            ErrorCode::ArtefactFailed,
            "it is a damaged qcow2 disk: ",
        ),
        (
            "x",
            &text,
            ErrorCode::ArtefactFailed,
            "it holds something, not an EROFS or ext4",
        ),
        (
            "x",
            &cut,
            ErrorCode::ArtefactFailed,
            "it is cut short: it has 4096 bytes",
        ),
        ("x", &pipe, ErrorCode::ArtefactFailed, "it is not a regular file"),
        (
            "x",
            disk.0.path(),
            ErrorCode::ArtefactFailed,
            "it is not a regular file",
        ),
        (
            "x",
            Path::new("/proc/nonexistent"),
            ErrorCode::ArtefactFailed,
            "No such file",
        ),
        (
            "x",
            Path::new("relative"),
            ErrorCode::Invalid,
            "it is not an absolute path",
        ),
        (
            "mine",
            &text,
            ErrorCode::ImageExists,
            "an image called `mine` exists",
        ),
        (
            "debian",
            &text,
            ErrorCode::Invalid,
            "the catalog has an image of that name",
        ),
        ("../x", &text, ErrorCode::Invalid, "name `../x`"),
    ] {
        let error = register(&engine, name, path).await.unwrap_err();
        assert!(error.message.contains(why), "{error}\nnot {why}");
        assert_eq!(error.code, code, "{error}");
    }
    let request = RegisterImage {
        rootfs: disk.path().to_str().unwrap().to_owned(),
        kernel: Some("nosuch".into()),
        ..RegisterImage::default()
    };
    let error = engine.images().register("y", request).await.unwrap_err().to_api();
    assert_eq!(error.code, ErrorCode::KernelNotFound);
    assert_eq!(engine.images().list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_qcow2_is_unpacked_and_needed_no_more() {
    let (host, disk) = (Host::new(), Disk::new());
    let engine = host.engine().await;
    let qcow2 = disk.0.path().join("root.qcow2");
    let mut command = std::process::Command::new("qemu-img");
    let command = command.args(["convert", "-c", "-f", "raw", "-O", "qcow2"]);
    let done = command.arg(disk.path()).arg(&qcow2).status().unwrap();
    assert!(done.success());
    register(&engine, "mine", &qcow2).await.unwrap();
    fs::remove_file(&qcow2).unwrap();
    let image = engine.images().show("mine").await.unwrap();
    assert_eq!((image.kind, image.file), (ImageKind::Promoted, None));
    assert_eq!(ours(&host), [format!("{}.erofs", image.id)]);
    let unpacked = fs::read(host.paths.images().join(format!("{}.erofs", image.id))).unwrap();
    let before = fs::read(disk.path()).unwrap();
    // qemu-img rounds a disk up to whole sectors.
    assert!(unpacked.starts_with(&before) && unpacked.len() - before.len() < 512);
    run_from(&engine, "a", "mine").await;
    delete(&engine, "a").await;
    engine.images().delete("mine").await.unwrap();
    assert_eq!(ours(&host), Vec::<String>::new());
}
