//! Container images become images that VMs start from.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::path::Path;
use std::sync::Arc;

use api::{CreateVm, ErrorCode, PullImage, RegistryAccess, UploadFormat, UploadImage};
use engine::{CatalogSources, Engine};
use guest::frames::Frame;
use serde_json::json;
use support::registry::Registry;
use support::{Host, delete, run, vm};
use testkit::container::{TestImage, layer};

fn access() -> RegistryAccess {
    RegistryAccess {
        plain_http: true,
        ..RegistryAccess::default()
    }
}

fn request(reference: &str) -> PullImage {
    PullImage {
        reference: reference.to_owned(),
        name: None,
        kernel: None,
        registry: access(),
    }
}

async fn pull(engine: &Engine, reference: &str) -> Result<(), api::ApiError> {
    let operation = engine
        .images()
        .pull(request(reference))
        .await
        .map_err(|error| error.to_api())?;
    operation.wait().await.map(|_| ())
}

fn app() -> TestImage {
    let config = json!({"Env": ["GREETING=hello", "OVER=image"], "Cmd": ["serve"], "WorkingDir": "/tmp"});
    TestImage::new(&[base(), layer(&[("app", "2")])], &config)
}

fn base() -> Vec<u8> {
    layer(&[("bin/sh", "a shell"), ("etc/hosts", "")])
}

async fn names(engine: &Engine) -> Vec<String> {
    let images = engine.images().list().await.unwrap();
    images.into_iter().map(|image| image.name).collect()
}

/// What lies in the folder of images, apart from the finished ones.
fn half_made(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.paths.images()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".erofs") || name.starts_with('.'))
        .collect()
}

async fn output(engine: &Engine, name: &str, script: &str) -> String {
    let exec = guest::Exec {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..guest::Exec::default()
    };
    let mut stream = engine.vms().exec(name, &exec).await.unwrap();
    let mut output = Vec::new();
    while let Some(frame) = Frame::read(&mut stream).await.unwrap() {
        match frame {
            Frame::Stdout(bytes) => output.extend(bytes),
            Frame::Exit(_) => break,
            _ => {}
        }
    }
    String::from_utf8(output).unwrap()
}

#[tokio::test]
async fn a_pulled_image_is_named_after_its_repository_and_its_vms_get_what_it_says() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    registry.put("team/app", app());
    pull(&engine, &registry.reference("team/app")).await.unwrap();
    let image = engine.images().show("app").await.unwrap();
    assert_eq!(
        image.reference.as_deref(),
        Some(registry.reference("team/app").as_str())
    );
    assert_eq!((image.kernel.as_str(), image.vms.len()), ("cloud", 0));
    assert_eq!(image.config.unwrap().cmd, ["serve"]);

    let request = CreateVm {
        image: Some("app".into()),
        env: [("OVER".to_owned(), "vm".to_owned())].into(),
        ..vm("a", true)
    };
    engine.vms().create(request).await.unwrap().wait().await.unwrap();
    assert_eq!(
        output(&engine, "a", "echo $GREETING $OVER; pwd").await,
        "hello vm\n/tmp\n"
    );
    assert_eq!(engine.images().show("app").await.unwrap().vms, ["a"]);
    delete(&engine, "a").await;
}

#[tokio::test]
async fn an_image_is_pulled_when_a_vm_first_needs_it_and_not_again() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    registry.put("team/app", app());
    let reference = registry.reference("team/app");
    for name in ["a", "b"] {
        let request = CreateVm {
            image: Some(reference.clone()),
            registry: access(),
            ..vm(name, false)
        };
        let made = engine
            .vms()
            .create(request)
            .await
            .unwrap()
            .wait()
            .await
            .unwrap()
            .unwrap();
        assert_eq!(made.image, "app");
    }
    assert_eq!(registry.blobs_sent(), 2);
    assert_eq!(names(&engine).await, ["app"]);
}

#[tokio::test]
async fn a_word_that_is_no_image_is_no_reason_to_ask_a_registry() {
    let engine = Host::new().engine().await;
    let request = CreateVm {
        image: Some("debain".into()),
        ..vm("a", false)
    };
    let error = engine.vms().create(request).await.unwrap_err().to_api();
    assert_eq!(error.code, ErrorCode::ImageNotFound);
    assert!(error.hint.unwrap().contains("there is debian"));
}

#[tokio::test]
async fn a_second_pull_fetches_only_the_layer_that_changed() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    registry.put("app", app());
    let reference = registry.reference("app");
    pull(&engine, &reference).await.unwrap();
    let before = engine.images().show("app").await.unwrap();
    assert_eq!(registry.blobs_sent(), 2);
    registry.put(
        "app",
        TestImage::new(&[base(), layer(&[("app", "3")])], &json!({})),
    );
    pull(&engine, &reference).await.unwrap();
    assert_eq!(registry.blobs_sent(), 3);
    let after = engine.images().show(&reference).await.unwrap();
    assert_ne!(after.id, before.id);
    let pruned = engine.images().prune(true).await.unwrap();
    // Three layers and two configurations; the root file system from before.
    assert_eq!((pruned.blobs, pruned.file_systems), (5, 1));
    assert_eq!(engine.images().prune(false).await.unwrap(), pruned);
    assert_eq!(
        engine.images().prune(false).await.unwrap(),
        api::Pruned::default()
    );
    run_from(&engine, "a", "app").await;
}

async fn run_from(engine: &Engine, name: &str, image: &str) {
    let request = CreateVm {
        image: Some(image.to_owned()),
        ..vm(name, true)
    };
    engine.vms().create(request).await.unwrap().wait().await.unwrap();
}

#[tokio::test]
async fn of_two_pulls_of_the_same_at_once_each_layer_comes_once() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    registry.put("app", app());
    let reference = registry.reference("app");
    let (one, two) = tokio::join!(pull(&engine, &reference), pull(&engine, &reference));
    one.unwrap();
    two.unwrap();
    assert_eq!(registry.blobs_sent(), 2);
    assert_eq!(half_made(&host), Vec::<String>::new());
}

#[tokio::test]
async fn a_pull_that_fails_leaves_nothing_and_the_old_image_good() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    registry.put("app", app());
    let reference = registry.reference("app");
    pull(&engine, &reference).await.unwrap();
    let before = engine.images().list().await.unwrap();
    let changed = layer(&[("app", "3")]);
    let damaged = TestImage::new(&[base(), changed.clone()], &json!({})).with_damaged(&changed);
    registry.put("app", damaged);
    let error = pull(&engine, &reference).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ArtefactFailed);
    assert!(
        error
            .message
            .starts_with(&format!("cannot import image `{reference}`: ")),
        "{error}"
    );
    let error = pull(&engine, &registry.reference("nosuch")).await.unwrap_err();
    assert!(error.message.contains("not found in registry"), "{error}");
    assert_eq!(engine.images().list().await.unwrap(), before);
    assert_eq!(half_made(&host), Vec::<String>::new());
    run_from(&engine, "a", "app").await;
}

#[tokio::test]
async fn a_cancelled_pull_leaves_nothing() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    registry.put("app", app());
    let mut asked = registry.fall_silent();
    let pulling = engine
        .images()
        .pull(request(&registry.reference("app")))
        .await
        .unwrap();
    let connection = asked.recv().await.unwrap();
    pulling.cancel();
    let error = pulling.wait().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Cancelled);
    drop(connection);
    assert_eq!(names(&engine).await, Vec::<String>::new());
    assert_eq!(half_made(&host), Vec::<String>::new());
}

#[tokio::test]
async fn a_mirror_is_asked_before_the_registry_and_the_registry_where_it_fails() {
    let (mut host, mirror) = (Host::new(), Registry::new());
    let registry = Registry::new();
    let settings = format!(
        "[registry_mirrors]\n\"{}\" = [\"http://{}\"]",
        registry.address, mirror.address
    );
    let shape = config::HostShape::of_host();
    host.mirrors = config::Config::parse(&settings, Path::new("config.toml"), shape)
        .unwrap()
        .registry_mirrors;
    let engine = host.engine().await;
    mirror.put("app", app());
    registry.put("app", app());
    registry.put("other", TestImage::new(&[layer(&[("other", "1")])], &json!({})));
    let reference = registry.reference("app");
    pull(&engine, &reference).await.unwrap();
    assert_eq!((mirror.blobs_sent(), registry.blobs_sent()), (2, 0));
    let image = engine.images().show("app").await.unwrap();
    assert_eq!(
        image.reference,
        Some(reference),
        "it is the registry's all the same"
    );
    pull(&engine, &registry.reference("other")).await.unwrap();
    assert_eq!((mirror.blobs_sent(), registry.blobs_sent()), (2, 1));
}

#[tokio::test]
async fn an_image_that_is_deleted_while_it_is_pulled_again_is_there_whole_or_not_at_all() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    let reference = registry.reference("app");
    registry.put("app", app());
    pull(&engine, &reference).await.unwrap();
    for round in 0..20 {
        let newer = layer(&[("app", &round.to_string())]);
        registry.put("app", TestImage::new(&[base(), newer], &json!({})));
        let images = engine.images();
        let (pulled, deleted) = tokio::join!(pull(&engine, &reference), images.delete("app"));
        pulled.unwrap();
        deleted.unwrap();
        let rows = engine.images().list().await.unwrap();
        let files = std::fs::read_dir(host.paths.images()).unwrap().count();
        assert_eq!(files, rows.len(), "round {round}");
        pull(&engine, &reference).await.unwrap();
        run_from(&engine, "a", "app").await;
        delete(&engine, "a").await;
    }
    assert_eq!(half_made(&host), Vec::<String>::new());
}

/// Bytes that take as much room as they are.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let digits = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{state:016x}")
    });
    digits.take(length / 16).collect()
}

#[test]
fn a_pull_that_the_host_has_no_room_for_leaves_nothing_and_the_old_image_good() {
    let test = "a_pull_that_the_host_has_no_room_for_leaves_nothing_and_the_old_image_good";
    let Some(disk) = testkit::with_a_little_disk(test, 8 << 10) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (host, registry) = (Host::at(&disk), Registry::new());
        let engine = host.engine().await;
        let reference = registry.reference("app");
        registry.put("app", app());
        pull(&engine, &reference).await.unwrap();
        let before = engine.images().list().await.unwrap();
        // There is no room for the layer; then for the layer, but not for its image beside it.
        for mebibytes in [9, 4] {
            let large = noise(mebibytes << 20);
            let large = layer(&[("large", large.as_str())]);
            registry.put("app", TestImage::new(&[base(), large], &json!({})));
            let full = pull(&engine, &reference).await.unwrap_err();
            assert!(full.message.to_lowercase().contains("no space left"), "{full}");
            assert!(full.hint.is_some(), "{full}");
            assert_eq!(engine.images().list().await.unwrap(), before);
            assert_eq!(half_made(&host), Vec::<String>::new());
        }
        // A layer that came whole is kept for the next try, until somebody wants the room.
        engine.images().prune(false).await.unwrap();
        run_from(&engine, "a", "app").await;
        delete(&engine, "a").await;
    });
}

#[tokio::test]
async fn an_image_that_a_vm_uses_is_not_deleted() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    registry.put("app", app());
    pull(&engine, &registry.reference("app")).await.unwrap();
    run_from(&engine, "a", "app").await;
    let error = engine.images().delete("app").await.unwrap_err().to_api();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ErrorCode::ImageInUse, "cannot delete image `app`: a uses it")
    );
    delete(&engine, "a").await;
    engine.images().delete("app").await.unwrap();
    assert_eq!(std::fs::read_dir(host.paths.images()).unwrap().count(), 0);
    let error = engine.images().delete("app").await.unwrap_err().to_api();
    assert_eq!(error.code, ErrorCode::ImageNotFound);
}

#[tokio::test]
async fn names_of_others_and_of_the_catalog_are_refused() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    for repository in ["a/app", "b/app", "debian"] {
        registry.put(repository, app());
    }
    pull(&engine, &registry.reference("a/app")).await.unwrap();
    let error = pull(&engine, &registry.reference("b/app")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ImageExists);
    let error = pull(&engine, &registry.reference("debian")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    let named = PullImage {
        name: Some("other".into()),
        kernel: Some("nosuch".into()),
        ..request(&registry.reference("b/app"))
    };
    let error = engine.images().pull(named).await.unwrap_err().to_api();
    assert_eq!(error.code, ErrorCode::KernelNotFound);
    // A VM that asks for it by its full name gets it under a name that is free.
    let wanted = CreateVm {
        image: Some(registry.reference("b/app")),
        registry: access(),
        ..vm("a", false)
    };
    let made = engine
        .vms()
        .create(wanted)
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(made.image, "app-1");
}

fn tar_of_layout(image: &TestImage) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    image.write_layout(folder.path());
    let mut tar = Vec::new();
    oci::pack_layout(folder.path(), &mut tar).unwrap();
    tar
}

async fn upload(engine: &Engine, name: &str, body: Vec<u8>) -> Result<(), api::ApiError> {
    let image = UploadImage {
        format: UploadFormat::OciLayout,
        tag: None,
        kernel: None,
    };
    let body = std::io::Cursor::new(body);
    let told = |error: engine::EngineError| error.to_api();
    let upload = engine.images().receive(name, image, body).await.map_err(told)?;
    let operation = engine.images().import(upload).await.map_err(told)?;
    operation.wait().await.map(|_| ())
}

#[tokio::test]
async fn an_image_that_a_client_sends_is_taken_in_and_leaves_only_itself() {
    let host = Host::new();
    let engine = host.engine().await;
    upload(&engine, "mine", tar_of_layout(&app())).await.unwrap();
    let image = engine.images().show("mine").await.unwrap();
    assert_eq!((image.reference, image.entries), (None, 6));
    run_from(&engine, "a", "mine").await;
    let error = upload(&engine, "mine", tar_of_layout(&app())).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ImageExists);

    let whole = tar_of_layout(&app());
    for (name, body) in [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("noise", vec![7; 4096]),
        ("empty", Vec::new()),
        ("damaged", tar_of_layout(&app().with_damaged(&base()))),
        ("stranger", layer(&[("etc/passwd", "root")])),
    ] {
        let error = upload(&engine, name, body).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ArtefactFailed, "{name}: {error}");
    }
    assert_eq!(names(&engine).await, ["mine"]);
    assert_eq!(half_made(&host), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_killed_daemon_left_of_an_upload_is_swept_by_the_next() {
    let host = Host::new();
    let folder = host.paths.images().join(".new-upload-x");
    std::fs::create_dir_all(folder.join("blobs")).unwrap();
    let _engine = host.engine().await;
    assert!(!Path::new(&folder).exists());
}

#[tokio::test]
async fn an_image_whose_file_vanished_is_told_as_such_and_a_pull_brings_it_back() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    registry.put("app", app());
    let reference = registry.reference("app");
    pull(&engine, &reference).await.unwrap();
    run_from(&engine, "a", "app").await;
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    let id = engine.images().show("app").await.unwrap().id;
    std::fs::remove_file(host.paths.images().join(format!("{id}.erofs"))).unwrap();
    let hint = format!("get it again: banger image pull {reference} --name app");
    let error = engine.vms().start("a").await.unwrap().wait().await.unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.hint.as_deref()),
        (
            "cannot start `a`: the file of image `app` is gone",
            Some(hint.as_str())
        )
    );
    let create = CreateVm {
        image: Some("app".into()),
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
    assert!(
        error.message.ends_with("the file of image `app` is gone"),
        "{error}"
    );
    assert_eq!(
        engine.images().export("app").await.unwrap_err().to_api().hint,
        Some(hint)
    );
    pull(&engine, &reference).await.unwrap();
    engine.vms().start("a").await.unwrap().wait().await.unwrap();
}

#[tokio::test]
async fn a_vm_of_the_catalogs_image_is_as_it_was() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "a").await;
    let image = engine.images().show("debian").await.unwrap();
    assert_eq!(
        (image.config, image.vms.as_slice()),
        (None, ["a".to_owned()].as_slice())
    );
}

#[tokio::test]
async fn an_image_is_stored_packed_where_that_is_configured() {
    let registry = Registry::new();
    let text = "the same words again and again ".repeat(20_000);
    registry.put("text", TestImage::new(&[layer(&[("text", &text)])], &json!({})));
    let mut sizes = Vec::new();
    for compression in [config::Compression::None, config::Compression::Lz4] {
        let host = Host::new();
        let sources = CatalogSources::new(config::RecipeSettings::default(), host.paths.recipes());
        let sources = sources.storing(config::ImageSettings { compression });
        let engine = host.engine_with(Arc::new(sources)).await;
        let request = PullImage {
            kernel: Some("debian-cloud".into()),
            ..request(&registry.reference("text"))
        };
        let operation = engine.images().pull(request).await.unwrap();
        operation.wait().await.unwrap();
        sizes.push(engine.images().show("text").await.unwrap().bytes);
    }
    assert!(sizes[1] < sizes[0] / 2, "{sizes:?}");
}
