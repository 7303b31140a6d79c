//! Images that are built by a recipe of the user's.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use api::{ApiError, BuildImage, CreateVm, ErrorCode, Event, Image, ImageKind};
use engine::Engine;
use support::{Host, delete, vm};

fn recipe(package: &str) -> String {
    format!("base = \"debian-minimal\"\npackages = [\"{package}\"]\n")
}

async fn build(engine: &Engine, name: &str, recipe: &str) -> Result<Image, ApiError> {
    let request = BuildImage {
        recipe: recipe.to_owned(),
        file: Some("r.toml".to_owned()),
        kernel: None,
    };
    let operation = engine.images().build(name, request).await;
    operation.map_err(|error| error.to_api())?.wait().await?;
    Ok(engine.images().show(name).await.unwrap())
}

fn files(host: &Host) -> usize {
    std::fs::read_dir(host.paths.images()).unwrap().count()
}

#[tokio::test]
async fn an_image_is_built_and_built_again_and_its_vms_keep_what_they_have() {
    let host = Host::new();
    let engine = host.engine().await;
    let first = build(&engine, "mine", &recipe("jq")).await.unwrap();
    assert_eq!((first.kind, first.kernel.as_str()), (ImageKind::Built, "cloud"));
    let request = CreateVm {
        image: Some("mine".into()),
        ..vm("a", true)
    };
    engine.vms().create(request).await.unwrap().wait().await.unwrap();

    let second = build(&engine, "mine", &recipe("tmux")).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(engine.images().list().await.unwrap().len(), 1);
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    engine.vms().start("a").await.unwrap().wait().await.unwrap();
    assert_eq!(files(&host), 2, "the VM's is still there");
    delete(&engine, "a").await;
    engine.images().prune(false).await.unwrap();
    assert_eq!(files(&host), 1);
    engine.images().delete("mine").await.unwrap();
    assert_eq!(files(&host), 0);
}

#[tokio::test]
async fn what_a_build_does_without_is_said_once_to_its_user() {
    let host = Host::new();
    let engine = host.engine().await;
    let request = BuildImage {
        recipe: recipe("jq"),
        file: None,
        kernel: None,
    };
    let operation = engine.images().build("mine", request).await.unwrap();
    operation.wait().await.unwrap();
    let mut events = operation.events();
    let mut warnings = Vec::new();
    while let Some(event) = events.next().await {
        if let Event::Warning { message } = event {
            warnings.push(message);
        }
    }
    assert_eq!(warnings, ["something of this host is missing"]);
}

#[tokio::test]
async fn a_recipe_with_a_mistake_is_refused_with_its_line_before_anything_begins() {
    let host = Host::new();
    let engine = host.engine().await;
    for (recipe, said) in [
        (
            "base = \"nosuch\"",
            "recipe `r.toml`: base: the catalog has no recipe `nosuch` to begin with",
        ),
        (
            "base = \"debian-minimal\"\npackages = [\"-y\"]",
            "recipe `r.toml`: line 2: packages[0]: package \"-y\" is not",
        ),
        ("packages = []", "recipe `r.toml`: suite: there is none"),
        ("no recipe", "recipe `r.toml`: line 1: "),
    ] {
        let error = build(&engine, "mine", recipe).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.starts_with(said), "{error}");
    }
    let error = build(&engine, "debian", &recipe("jq")).await.unwrap_err();
    assert!(
        error.message.contains("the catalog has an image of that name"),
        "{error}"
    );
    assert!(engine.operations().list().is_empty());
}

#[tokio::test]
async fn a_build_that_fails_leaves_nothing_and_the_old_image_good() {
    let host = Host::new();
    let engine = host.engine().await;
    let old = build(&engine, "mine", &recipe("jq")).await.unwrap();
    host.sources.lose_images();
    let error = build(&engine, "mine", &recipe("tmux")).await.unwrap_err();
    assert!(error.message.starts_with("cannot build image `mine`"), "{error}");
    assert_eq!(engine.images().show("mine").await.unwrap(), old);
    assert_eq!(files(&host), 1);

    // The name of an image that came another way is its own, before anything is built.
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.erofs");
    erofs(&disk);
    let register = api::RegisterImage {
        rootfs: disk.to_str().unwrap().to_owned(),
        ..api::RegisterImage::default()
    };
    let registered = engine.images().register("disk", register).await.unwrap();
    registered.wait().await.unwrap();
    let error = build(&engine, "disk", &recipe("jq")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ImageExists);
}

fn erofs(path: &std::path::Path) {
    let mut file = std::fs::File::create_new(path).unwrap();
    let builder = rootfs::erofs::Builder::new(&mut file, rootfs::erofs::Options::default()).unwrap();
    builder.finish().unwrap();
}
