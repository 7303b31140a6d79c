//! Kernels: fetched by name, taken in from clients, deleted when nobody needs them.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::io::Cursor;

use api::{ApiError, ErrorCode, ImportKernel, Kernel, KernelKind, PullKernel};
use engine::Engine;
use support::{Host, delete, run, vm};
use testkit::kernel::{tar_of, vmlinux};

async fn import(engine: &Engine, name: &str, body: Vec<u8>) -> Result<Kernel, ApiError> {
    let imported = engine
        .kernels()
        .import(name, ImportKernel::default(), Cursor::new(body))
        .await;
    imported.map_err(|error| error.to_api())
}

async fn pull(engine: &Engine, name: &str, force: bool) -> Result<(), ApiError> {
    let request = PullKernel {
        name: name.into(),
        force,
    };
    let operation = engine
        .kernels()
        .pull(request)
        .await
        .map_err(|error| error.to_api())?;
    operation.wait().await.map(drop)
}

fn folders(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.paths.kernels()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_kernel_is_pulled_once_and_again_only_by_force() {
    let host = Host::new();
    let engine = host.engine().await;
    let available = engine.kernels().available().await.unwrap();
    assert_eq!((available[0].name.as_str(), &available[0].here), ("cloud", &None));
    pull(&engine, "cloud", false).await.unwrap();
    pull(&engine, "cloud", false).await.unwrap();
    assert_eq!(host.sources.kernels_made(), 1);
    let kernel = engine.kernels().show("cloud").await.unwrap();
    assert_eq!(
        (kernel.id.as_str(), kernel.kind, kernel.distro.as_deref()),
        ("cloud-6.1.0-1", KernelKind::Catalog, Some("debian"))
    );
    assert_eq!(
        engine.kernels().available().await.unwrap()[0].here.as_deref(),
        Some("6.1.0-1")
    );
    pull(&engine, "cloud", true).await.unwrap();
    assert_eq!(
        (host.sources.kernels_made(), folders(&host)),
        (2, vec!["cloud-6.1.0-1".to_owned()])
    );
    let error = pull(&engine, "clud", false).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str(), error.hint.as_deref()),
        (
            ErrorCode::KernelNotFound,
            "no kernel is called `clud`",
            Some("did you mean `cloud`? there is cloud")
        )
    );
}

#[tokio::test]
async fn a_newer_kernel_takes_the_name_and_the_old_one_stays_while_a_vm_has_it() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "a").await;
    host.sources.release_kernel();
    pull(&engine, "cloud", true).await.unwrap();
    assert_eq!(folders(&host), ["cloud-6.1.0-1", "cloud-6.1.0-2"]);
    assert_eq!(engine.vms().show("a").await.unwrap().kernel, "cloud 6.1.0-1");
    let created = engine.vms().create(vm("b", false)).await.unwrap();
    assert_eq!(created.wait().await.unwrap().unwrap().kernel, "cloud 6.1.0-2");
    assert_eq!(engine.images().prune(false).await.unwrap().kernels, 0);
    delete(&engine, "a").await;
    let pruned = engine.images().prune(true).await.unwrap();
    assert_eq!((pruned.kernels, folders(&host).len()), (1, 2), "only told");
    assert_eq!(engine.images().prune(false).await.unwrap(), pruned);
    assert_eq!(folders(&host), ["cloud-6.1.0-2"]);
}

#[tokio::test]
async fn a_fetch_that_fails_leaves_the_kernel_that_was_there() {
    let host = Host::new();
    let engine = host.engine().await;
    pull(&engine, "cloud", false).await.unwrap();
    host.sources.lose_kernels();
    let error = pull(&engine, "cloud", true).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ArtefactFailed);
    assert!(
        error
            .message
            .starts_with("cannot fetch kernel `cloud`: cannot reach the mirror"),
        "{error}"
    );
    assert_eq!(folders(&host), ["cloud-6.1.0-1"]);
    assert_eq!(engine.kernels().list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_kernel_that_a_client_sends_boots_the_image_that_names_it() {
    let host = Host::new();
    let engine = host.engine().await;
    let body = tar_of(&[("vmlinux", &vmlinux("6.12.3+")), ("initrd.img", b"an initrd")]);
    let kernel = import(&engine, "mine", body).await.unwrap();
    assert_eq!(
        (kernel.id.as_str(), kernel.kind, kernel.initrd, kernel.distro),
        ("mine-6.12.3+", KernelKind::Imported, true, None)
    );
    let registry = support::registry::Registry::new();
    let layer = testkit::container::layer(&[("bin/sh", "a shell")]);
    registry.put(
        "app",
        testkit::container::TestImage::new(&[layer], &serde_json::json!({})),
    );
    let request = api::PullImage {
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
    let create = api::CreateVm {
        image: Some("app".into()),
        ..vm("a", true)
    };
    let made = engine.vms().create(create).await.unwrap().wait().await.unwrap();
    assert_eq!(made.unwrap().kernel, "mine 6.12.3+");
    let create = api::CreateVm {
        kernel: Some("mine".into()),
        ..vm("b", true)
    };
    let made = engine.vms().create(create).await.unwrap().wait().await.unwrap();
    assert_eq!(
        made.unwrap().kernel,
        "mine 6.12.3+",
        "in the place of its image's"
    );
    delete(&engine, "b").await;
    let unknown = api::CreateVm {
        kernel: Some("mina".into()),
        ..vm("b", true)
    };
    let error = engine.vms().create(unknown).await.unwrap_err().to_api();
    assert_eq!(
        (error.code, error.hint.as_deref()),
        (
            ErrorCode::KernelNotFound,
            Some("did you mean `mine`? there is cloud, mine")
        )
    );
    let used = engine.kernels().show("mine").await.unwrap();
    assert_eq!(
        (used.images, used.vms),
        (vec!["app".to_owned()], vec!["a".to_owned()])
    );
}

#[tokio::test]
async fn a_kernel_is_not_deleted_while_an_image_or_a_vm_uses_it() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "a").await;
    let refused = async |message: &str, hint: &str| {
        let error = engine.kernels().delete("cloud").await.unwrap_err().to_api();
        assert_eq!(
            (error.code, error.message.as_str(), error.hint.as_deref()),
            (ErrorCode::KernelInUse, message, Some(hint))
        );
    };
    refused(
        "cannot delete kernel `cloud`: image debian and VM a use it",
        "delete them first: banger vm delete a; banger image delete debian",
    )
    .await;
    delete(&engine, "a").await;
    refused(
        "cannot delete kernel `cloud`: image debian uses it",
        "delete the images first: banger image delete debian",
    )
    .await;
    engine.images().delete("debian").await.unwrap();
    engine.kernels().delete("cloud").await.unwrap();
    assert_eq!(folders(&host), Vec::<String>::new());
    let error = engine.kernels().delete("cloud").await.unwrap_err().to_api();
    assert_eq!(
        (error.code, error.hint.as_deref()),
        (
            ErrorCode::KernelNotFound,
            Some("`banger kernel list --available` lists what can be pulled")
        )
    );
}

#[tokio::test]
async fn what_is_no_kernel_or_has_a_name_that_cannot_be_is_refused_and_leaves_nothing() {
    let host = Host::new();
    let engine = host.engine().await;
    let good = || tar_of(&[("vmlinux", &vmlinux("6.1"))]);
    import(&engine, "mine", good()).await.unwrap();
    let whole = good();
    let unusable = "cannot take in kernel `x`: the kernel image is unusable: ";
    for (name, body, code, message) in [
        (
            "mine",
            good(),
            ErrorCode::KernelExists,
            "a kernel called `mine` exists".to_owned(),
        ),
        (
            "cloud",
            good(),
            ErrorCode::Invalid,
            "name `cloud`: the catalog has a kernel of that name; give yours another".to_owned(),
        ),
        ("../x", good(), ErrorCode::Invalid, "name `../x`: ".to_owned()),
        (
            "x",
            tar_of(&[("vmlinux", b"#!/bin/sh")]),
            ErrorCode::ArtefactFailed,
            format!("{unusable}it is cut short"),
        ),
        (
            "x",
            tar_of(&[("vmlinux", &vmlinux("6.1")[..100])]),
            ErrorCode::ArtefactFailed,
            format!("{unusable}it is no whole x86-64 kernel"),
        ),
        (
            "x",
            tar_of(&[("vmlinux", &vmlinux("../6.1"))]),
            ErrorCode::ArtefactFailed,
            format!("{unusable}it does not say which version it is"),
        ),
        (
            "x",
            tar_of(&[("initrd.img", b"")]),
            ErrorCode::ArtefactFailed,
            "cannot take in kernel `x`: the kernel package holds no kernel, vmlinux".to_owned(),
        ),
        (
            "x",
            tar_of(&[("vmlinux", &vmlinux("6.1")), ("etc/passwd", b"root")]),
            ErrorCode::ArtefactFailed,
            "cannot take in kernel `x`: `etc/passwd` does not belong to a kernel".to_owned(),
        ),
        (
            "x",
            whole[..whole.len() / 2].to_vec(),
            ErrorCode::ArtefactFailed,
            "cannot take in kernel `x`: cannot read the kernel package".to_owned(),
        ),
        (
            "x",
            Vec::new(),
            ErrorCode::ArtefactFailed,
            "cannot take in kernel `x`: cannot read the kernel package".to_owned(),
        ),
    ] {
        let error = import(&engine, name, body).await.unwrap_err();
        assert!(
            error.message.starts_with(&message),
            "{}\nnot {message}",
            error.message
        );
        assert_eq!(error.code, code, "{error}");
    }
    let distro = ImportKernel {
        distro: Some("a\nb".into()),
        of_image: false,
    };
    let error = engine
        .kernels()
        .import("x", distro, Cursor::new(good()))
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("distro `a\\nb`: "), "{error}");
    assert_eq!(folders(&host), ["mine-6.1"]);
    assert_eq!(engine.kernels().list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_two_that_send_a_kernel_of_one_name_one_is_taken() {
    let host = Host::new();
    let engine = host.engine().await;
    let body = |release: &str| tar_of(&[("vmlinux", &vmlinux(release))]);
    let (one, other) = tokio::join!(
        import(&engine, "mine", body("6.1")),
        import(&engine, "mine", body("6.2"))
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let taken = one.or(other).unwrap();
    assert_eq!(folders(&host), [taken.id]);
}
