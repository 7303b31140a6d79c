//! What a container image says of itself in ways of its own, and what is said of it.

mod support;

use api::{ErrorCode, Event, PullImage, RegistryAccess, UploadFormat, UploadImage};
use engine::OperationHandle;
use serde_json::json;
use support::Host;
use support::registry::Registry;
use testkit::container::{TestImage, layer};

/// The warnings of an operation that has ended.
async fn warnings(operation: &OperationHandle) -> Vec<String> {
    let mut events = operation.events();
    let mut warnings = Vec::new();
    while let Some(event) = events.next().await {
        if let Event::Warning { message } = event {
            warnings.push(message);
        }
    }
    warnings
}

#[tokio::test]
async fn what_is_left_out_of_an_images_configuration_is_a_warning_and_no_failure() {
    let (host, registry) = (Host::new(), Registry::new());
    let engine = host.engine().await;
    let config = json!({"ExposedPorts": {"http": {}, "8080/TCP": {}, "90-91": {}}, "WorkingDir": "srv", "Env": ["A", "B=c"]});
    registry.put("app", TestImage::new(&[layer(&[("bin/sh", "a shell")])], &config));
    let request = PullImage {
        reference: registry.reference("app"),
        name: None,
        kernel: None,
        registry: RegistryAccess {
            plain_http: true,
            ..RegistryAccess::default()
        },
    };
    let operation = engine.images().pull(request).await.unwrap();
    operation.wait().await.unwrap();
    assert_eq!(
        warnings(&operation).await,
        [
            "image configuration: Env `A` is not NAME=VALUE: left out",
            "image configuration: ExposedPorts `http` is no port: left out",
        ]
    );
    let config = engine.images().show("app").await.unwrap().config.unwrap();
    assert_eq!(config.exposed_ports, ["90/tcp", "91/tcp", "8080/tcp"]);
    assert_eq!(config.working_dir, "/srv");
}

#[tokio::test]
async fn an_archive_of_several_images_says_which_there_are_and_how_one_is_named() {
    let host = Host::new();
    let engine = host.engine().await;
    let mut tar = tar::Builder::new(Vec::new());
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    let mut images = Vec::new();
    for name in ["one", "two"] {
        let archive = layer(&[(name, name)]);
        let config = json!({"rootfs": {"diff_ids": [testkit::container::digest(&archive)]}});
        put(&format!("{name}.json"), config.to_string().as_bytes());
        put(&format!("{name}.tar"), &archive);
        images.push(json!({
            "Config": format!("{name}.json"), "RepoTags": [format!("{name}:1")], "Layers": [format!("{name}.tar")],
        }));
    }
    put("manifest.json", json!(images).to_string().as_bytes());
    let tar = tar.into_inner().unwrap();
    let import = async |name: &str, tag: Option<&str>| {
        let image = UploadImage {
            format: UploadFormat::DockerArchive,
            tag: tag.map(str::to_owned),
            kernel: None,
        };
        let body = std::io::Cursor::new(tar.clone());
        let upload = engine.images().receive(name, image, body).await.unwrap();
        let operation = engine.images().import(upload).await.unwrap();
        operation.wait().await.map(drop)
    };
    import("two", Some("two:1")).await.unwrap();
    import("first", Some("@0")).await.unwrap();
    let error = import("none", None).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ArtefactFailed);
    assert_eq!(
        error.message,
        "cannot import image `none`: the archive has 2 images, and none was named; it has one:1, two:1"
    );
    assert_eq!(
        error.hint.unwrap(),
        "name one of its images after it: oci:DIR:TAG, docker-archive:FILE:NAME"
    );
}
