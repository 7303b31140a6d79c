//! Images and kernels that travel: exported, published, pulled by name elsewhere.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::fs;
use std::io::Cursor;
use std::sync::Arc;

use api::{ApiError, CreateVm, ErrorCode, ImageKind, ImportKernel, KernelKind, PullImage, PullKernel};
use catalog::bundle::{
    BundleError, BundleImage, BundleKernel, Description, RootFs, RootFsKind, SCHEMA_VERSION, write_image,
    write_kernel,
};
use engine::{CatalogSources, Engine};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::published::Published;
use support::registry::Registry;
use support::{Host, vm};
use testkit::container::{TestImage, layer};
use testkit::kernel::{tar_of, vmlinux};

/// An engine in an empty home that knows only the catalog at this address, and what is embedded.
async fn reader(host: &Host, url: &str) -> Engine {
    // Nobody listens there: what is not published cannot be made.
    let settings = config::RecipeSettings {
        mirror: Some("http://127.0.0.1:1/debian".into()),
        keyring: None,
    };
    let sources = CatalogSources::new(settings, host.paths.recipes())
        .with_published(Some(url.to_owned()), None)
        .unwrap();
    host.engine_with(Arc::new(sources)).await
}

async fn pull_image(engine: &Engine, name: &str) -> Result<(), ApiError> {
    let request = PullImage {
        reference: name.into(),
        name: None,
        kernel: None,
        registry: api::RegistryAccess::default(),
    };
    let operation = engine.images().pull(request).await;
    operation.map_err(|error| error.to_api())?.wait().await.map(drop)
}

async fn pull_kernel(engine: &Engine, name: &str) -> Result<(), ApiError> {
    let request = PullKernel {
        name: name.into(),
        force: false,
    };
    let operation = engine.kernels().pull(request).await;
    operation.map_err(|error| error.to_api())?.wait().await.map(drop)
}

fn about(name: &str) -> Description {
    Description {
        name: name.into(),
        distro: "test".into(),
        arch: "amd64".into(),
        description: String::new(),
    }
}

fn kernel_bundle(name: &str, members: &[(&str, &[u8])]) -> Vec<u8> {
    let manifest = BundleKernel {
        schema_version: SCHEMA_VERSION,
        about: about(name),
    };
    let mut out = Vec::new();
    write_kernel(manifest, &mut out, |tar| {
        for (path, data) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            tar.append_data(&mut header, path, *data)
                .map_err(BundleError::Write)?;
        }
        Ok::<_, BundleError>(())
    })
    .unwrap();
    out
}

/// What begins like an EROFS.
fn rootfs() -> Vec<u8> {
    let mut rootfs = vec![7; 8192];
    rootfs[1024..1028].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
    rootfs
}

fn image_bundle(name: &str, kernel: &str, config: Option<Value>) -> Vec<u8> {
    let manifest = BundleImage {
        schema_version: SCHEMA_VERSION,
        about: about(name),
        kernel: kernel.into(),
        rootfs: RootFs {
            kind: RootFsKind::Erofs,
            bytes: rootfs().len() as u64,
            sha256: format!("{:x}", Sha256::digest(rootfs())),
            entries: 1,
        },
        config: config.map(|config| config.as_object().unwrap().clone()),
    };
    let mut out = Vec::new();
    write_image(manifest, rootfs().as_slice(), &mut out).unwrap();
    out
}

/// What an image says about running it, for this user.
fn config_of(user: &str) -> Value {
    json!({
        "env": [], "entrypoint": [], "cmd": [], "user": user, "working_dir": "", "exposed_ports": [], "labels": {},
    })
}

/// What lies in the folders of images and kernels.
fn left(host: &Host) -> Vec<String> {
    let folders = [host.paths.images(), host.paths.kernels()];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn an_exported_image_is_pulled_by_name_in_an_empty_home_and_is_the_same() {
    let (maker, registry) = (Host::new(), Registry::new());
    let engine = maker.engine().await;
    let kernel = tar_of(&[("vmlinux", &vmlinux("6.12.3"))]);
    let imported = engine
        .kernels()
        .import("mine", ImportKernel::default(), Cursor::new(kernel))
        .await;
    imported.unwrap();
    let config = json!({"Env": ["GREETING=hello"], "Cmd": ["serve"]});
    registry.put("app", TestImage::new(&[layer(&[("bin/sh", "a shell")])], &config));
    let request = PullImage {
        reference: registry.reference("app"),
        name: None,
        kernel: Some("mine".into()),
        registry: api::RegistryAccess {
            plain_http: true,
            ..api::RegistryAccess::default()
        },
    };
    let pulling = engine.images().pull(request).await.unwrap();
    pulling.wait().await.unwrap();
    let original = engine.images().show("app").await.unwrap();
    let export = engine.images().export("app").await.unwrap();
    let bundle = tokio::task::spawn_blocking(move || {
        let mut bundle = Vec::new();
        export.write(&mut bundle).unwrap();
        bundle
    })
    .await
    .unwrap();

    let published = Published::new();
    published.put("images", json!({"name": "app", "kernel": "mine"}), &bundle);
    let kernel = kernel_bundle(
        "mine",
        &[("vmlinux", &vmlinux("6.12.3")), ("initrd.img", b"initrd")],
    );
    published.put("kernels", json!({"name": "mine", "distro": "test"}), &kernel);
    let elsewhere = Host::new();
    let engine = reader(&elsewhere, &published.url()).await;
    let create = CreateVm {
        image: Some("app".into()),
        ..vm("a", true)
    };
    let made = engine.vms().create(create).await.unwrap().wait().await.unwrap();
    assert_eq!(made.unwrap().kernel, "mine 6.12.3");
    let image = engine.images().show("app").await.unwrap();
    assert_eq!(
        (image.id, image.bytes, image.entries),
        (original.id, original.bytes, original.entries)
    );
    assert_eq!((image.kind, image.config), (ImageKind::Catalog, original.config));
    let kernel = engine.kernels().show("mine").await.unwrap();
    assert_eq!(
        (kernel.kind, kernel.initrd, kernel.distro.as_deref()),
        (KernelKind::Catalog, true, Some("test"))
    );
}

#[tokio::test]
async fn a_root_disk_of_the_users_travels_as_it_is_holes_and_all() {
    use std::os::unix::fs::MetadataExt as _;
    let (maker, folder) = (Host::new(), tempfile::tempdir().unwrap());
    let disk = folder.path().join("disk.ext4");
    let made = std::process::Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4"])
        .arg(&disk)
        .arg("16M")
        .status();
    assert!(made.expect("mke2fs can be run").success());
    let engine = maker.engine().await;
    let register = api::RegisterImage {
        rootfs: disk.to_str().unwrap().to_owned(),
        ..api::RegisterImage::default()
    };
    let registering = engine.images().register("disk", register).await.unwrap();
    registering.wait().await.unwrap();
    let original = engine.images().show("disk").await.unwrap();
    let export = engine.images().export("disk").await.unwrap();
    let mut bundle = Vec::new();
    export.write(&mut bundle).unwrap();

    let published = Published::new();
    published.put("images", json!({"name": "disk", "kernel": "cloud"}), &bundle);
    let elsewhere = Host::new();
    let engine = reader(&elsewhere, &published.url()).await;
    pull_image(&engine, "disk").await.unwrap();
    let pulled = engine.images().show("disk").await.unwrap();
    assert_eq!((&pulled.id, pulled.bytes), (&original.id, 16 << 20));
    let file = elsewhere.paths.images().join(format!("{}.ext4", pulled.id));
    assert!(
        file.metadata().unwrap().blocks() * 512 < 8 << 20,
        "holes are holes"
    );

    // One that is still in use somewhere is refused, as it is where it is registered.
    let mut dirty = fs::read(&disk).unwrap();
    dirty[1024 + 96] |= 4;
    let manifest = BundleImage {
        schema_version: SCHEMA_VERSION,
        about: about("dirty"),
        kernel: "cloud".into(),
        rootfs: RootFs {
            kind: RootFsKind::Ext4,
            bytes: dirty.len() as u64,
            sha256: format!("{:x}", Sha256::digest(&dirty)),
            entries: 0,
        },
        config: None,
    };
    let mut bundle = Vec::new();
    write_image(manifest, dirty.as_slice(), &mut bundle).unwrap();
    published.put("images", json!({"name": "dirty", "kernel": "cloud"}), &bundle);
    let third = Host::new();
    let engine = reader(&third, &published.url()).await;
    let error = pull_image(&engine, "dirty").await.unwrap_err();
    assert!(
        error.message.contains("its ext4 was not unmounted cleanly"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_published_is_listed_and_pulled_by_name() {
    let published = Published::new();
    let host = Host::new();
    let engine = reader(&host, &published.url()).await;
    let bundle = kernel_bundle("tiny", &[("vmlinux", &vmlinux("6.1"))]);
    published.put(
        "kernels",
        json!({"name": "tiny", "description": "small"}),
        &bundle,
    );
    let names = async || -> Vec<String> {
        let kernels = engine.kernels().available().await.unwrap();
        kernels.into_iter().map(|kernel| kernel.name).collect()
    };
    assert_eq!(names().await, ["debian-cloud", "tiny"]);
    pull_kernel(&engine, "tiny").await.unwrap();
    let mut found = left(&host);
    found.sort();
    assert_eq!(found, ["tiny-6.1"]);
}

#[tokio::test]
async fn an_image_boots_the_kernel_that_its_published_entry_names_and_not_the_embedded_ones() {
    let published = Published::new();
    let kernel = kernel_bundle("tiny", &[("vmlinux", &vmlinux("6.1"))]);
    published.put("kernels", json!({"name": "tiny"}), &kernel);
    let bundle = image_bundle("debian-minimal", "tiny", None);
    published.put(
        "images",
        json!({"name": "debian-minimal", "kernel": "tiny"}),
        &bundle,
    );
    let (puller, runner) = (Host::new(), Host::new());
    let engine = reader(&puller, &published.url()).await;
    pull_image(&engine, "debian-minimal").await.unwrap();
    assert_eq!(
        engine.images().show("debian-minimal").await.unwrap().kernel,
        "tiny"
    );

    let engine = reader(&runner, &published.url()).await;
    let create = CreateVm {
        image: Some("debian-minimal".into()),
        ..vm("a", true)
    };
    let made = engine.vms().create(create).await.unwrap().wait().await.unwrap();
    assert_eq!(made.unwrap().kernel, "tiny 6.1");
}

/// What becomes of a bundle after its catalog was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    Cut,
    Changed,
    Gone,
}

#[tokio::test]
async fn a_bundle_that_is_not_what_the_catalog_says_is_refused_and_leaves_nothing() {
    let vmlinux = vmlinux("6.1");
    let kernel = |name: &str| kernel_bundle(name, &[("vmlinux", &vmlinux)]);
    let image = |name: &str| image_bundle(name, "k", None);
    let with =
        |name: &str, path: &str, data: &[u8]| kernel_bundle(name, &[("vmlinux", &vmlinux), (path, data)]);
    let (cut, changed) = ("cannot be used: it ended after", "cannot be used: its sha256 is");
    let gone = "is not served: status 404";
    let images = [
        ("cut", image("cut"), Then::Cut, cut),
        ("changed", image("changed"), Then::Changed, changed),
        ("gone", image("gone"), Then::Gone, gone),
        (
            "renamed",
            image("i"),
            Then::Nothing,
            "its name is `i`; `renamed` was due",
        ),
        (
            "rebased",
            image_bundle("rebased", "another", None),
            Then::Nothing,
            "its kernel is `another`; `k` was due",
        ),
        (
            "confused",
            kernel("confused"),
            Then::Nothing,
            "its kind is `a kernel`; `an image` was due",
        ),
        (
            "odd",
            image_bundle("odd", "k", Some(json!({"env": 7}))),
            Then::Nothing,
            "manifest.json is wrong: config: ",
        ),
        (
            "escaping",
            image_bundle("escaping", "k", Some(config_of("root\u{1b}[2J"))),
            Then::Nothing,
            r"manifest.json is wrong: config: image configuration: User `root\u{1b}[2J` is no user",
        ),
    ];
    let kernels = [
        ("k-cut", kernel("k-cut"), Then::Cut, cut),
        ("k-changed", kernel("k-changed"), Then::Changed, changed),
        ("k-gone", kernel("k-gone"), Then::Gone, gone),
        (
            "k-renamed",
            kernel("k"),
            Then::Nothing,
            "its name is `k`; `k-renamed` was due",
        ),
        (
            "k-confused",
            image("k-confused"),
            Then::Nothing,
            "its kind is `an image`; `a kernel` was due",
        ),
        (
            "k-foreign",
            with("k-foreign", "etc/passwd", b""),
            Then::Nothing,
            "`etc/passwd` does not belong to a kernel",
        ),
        (
            "k-twice",
            with("k-twice", "vmlinux", &vmlinux),
            Then::Nothing,
            "`vmlinux` comes twice",
        ),
        (
            "k-none",
            kernel_bundle("k-none", &[("vmlinux", b"text")]),
            Then::Nothing,
            "the kernel image is unusable",
        ),
    ];
    let published = Published::new();
    published.put("kernels", json!({"name": "k"}), &kernel("k"));
    let publish = |kind: &str, name: &str, bundle: &[u8], then: Then| {
        published.put(kind, json!({"name": name, "kernel": "k"}), bundle);
        let file = format!("{name}.tar.zst");
        let mut other = bundle.to_vec();
        match then {
            Then::Nothing => return,
            Then::Gone => return published.remove(&file),
            Then::Cut => other.truncate(bundle.len() / 2),
            Then::Changed => other[bundle.len() / 2] ^= 1,
        }
        published.replace(&file, other);
    };
    for (name, bundle, then, _) in &images {
        publish("images", name, bundle, *then);
    }
    for (name, bundle, then, _) in &kernels {
        publish("kernels", name, bundle, *then);
    }
    let host = Host::new();
    let engine = reader(&host, &published.url()).await;
    let refused = |error: ApiError, verb: &str, name: &str, why: &str| {
        assert!(
            error.message.starts_with(&format!("cannot {verb} `{name}`: ")),
            "{error}"
        );
        assert!(error.message.contains(why), "{name}: {error}\nnot {why}");
        assert_eq!(error.code, ErrorCode::ArtefactFailed, "{error}");
    };
    for (name, _, _, why) in images {
        refused(
            pull_image(&engine, name).await.unwrap_err(),
            "get image",
            name,
            why,
        );
    }
    for (name, _, _, why) in kernels {
        refused(
            pull_kernel(&engine, name).await.unwrap_err(),
            "fetch kernel",
            name,
            why,
        );
    }
    assert_eq!(left(&host), Vec::<String>::new());
    assert!(engine.images().list().await.unwrap().is_empty());
    assert!(engine.kernels().list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_catalog_that_cannot_be_read_is_an_error_and_nobody_else_is_asked() {
    let published = Published::new();
    published.replace("catalog.json", br#"{"schema_version": 9}"#.to_vec());
    let host = Host::new();
    let engine = reader(&host, &published.url()).await;
    let create = CreateVm {
        image: Some("box".into()),
        ..vm("a", false)
    };
    let error = engine.vms().create(create).await.unwrap_err().to_api();
    let future = "it is of version 9; this banger reads up to 1";
    assert!(error.message.starts_with("cannot look for image `box`: ") && error.message.ends_with(future));
    assert_eq!(error.hint.as_deref(), Some("a newer banger reads it"));
    published.remove("catalog.json");
    let error = engine.kernels().available().await.unwrap_err().to_api();
    assert!(error.message.ends_with("is not served: status 404"), "{error}");
    // What is embedded is not made in the place of what may be published under its name.
    for error in [
        pull_kernel(&engine, "debian-cloud").await.unwrap_err(),
        pull_image(&engine, "debian-minimal").await.unwrap_err(),
        // Nor is a registry asked for what may be published, and what may not.
        pull_image(&engine, "box").await.unwrap_err(),
        pull_image(&engine, "misspelt").await.unwrap_err(),
    ] {
        assert!(error.message.ends_with("is not served: status 404"), "{error}");
        assert!(!error.message.contains("docker.io"), "{error}");
    }
    for broken in ["", "[]", "{\"schema_version\": 1", "<html>"] {
        published.replace("catalog.json", broken.as_bytes().to_vec());
        let error = pull_image(&engine, "box").await.unwrap_err();
        assert!(
            error.message.starts_with("cannot look for image `box`: "),
            "{broken}: {error}"
        );
    }
    assert_eq!(left(&host), Vec::<String>::new());
}
