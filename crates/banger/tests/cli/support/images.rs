//! The daemon's images: two that are always there, and whatever is pulled, which is gone at once.

use std::convert::Infallible;
use std::sync::Arc;

use api::{
    ApiError, BootWay, BuildImage, ErrorCode, Event, Image, ImageConfig, ImageKind, Pruned, PullImage,
    RegisterImage, StageState,
};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::daemon::State;
use super::routes::{Answer, body, failure, json, whole};

/// The image `app`, with everything that an image may say.
pub fn app() -> Image {
    Image {
        boot: BootWay::Overlay,
        work_seed: None,
        id: "b".repeat(64),
        name: "app".into(),
        kind: ImageKind::Oci,
        reference: Some("registry.test:5000/team/app:1".into()),
        file: None,
        kernel: "debian-cloud".into(),
        bytes: 7_654_321,
        entries: 42,
        config: Some(ImageConfig {
            env: vec!["GREETING=hello\u{1b}[2J".into(), "PATH=/bin".into()],
            entrypoint: vec!["/bin/echo".into(), "image says".into()],
            cmd: vec!["its own".into()],
            user: "www:33".into(),
            working_dir: "/srv".into(),
            exposed_ports: vec!["53/udp".into(), "80/tcp".into()],
        }),
        vms: Vec::new(),
        created_at: Timestamp::now() - SignedDuration::from_hours(5),
    }
}

fn images() -> Vec<Image> {
    let debian = Image {
        id: "a".repeat(64),
        name: "debian-minimal".into(),
        kind: ImageKind::Catalog,
        reference: None,
        bytes: 300 << 20,
        config: None,
        vms: vec!["quick-otter".into()],
        ..app()
    };
    vec![app(), debian]
}

fn find(text: &str) -> Option<Image> {
    images()
        .into_iter()
        .find(|image| image.name == text || image.reference.as_deref() == Some(text))
}

pub async fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let name = path.strip_prefix("/v1/images/").map(|name| {
        let name = name.replace("%3A", ":").replace("%2F", "/");
        name.replace("%40", "@")
    });
    let missing = |name: &str| {
        failure(
            ErrorCode::ImageNotFound,
            format!("no image is called `{name}`"),
            Some("there is app, debian-minimal"),
        )
    };
    if let Some(name) = name.as_deref().and_then(|name| name.strip_suffix("/bundle")) {
        state.note(format!("export {name}"));
        return Response::new(whole("a bundle, as far as anybody here can tell".to_owned()));
    }
    if let Some(name) = name.as_deref().and_then(|name| name.strip_suffix("/register")) {
        let register: RegisterImage = body(request).await;
        state.note(format!("register {name} {register:?}"));
        return succeed("image", &format!("{name}  ext4, 8 MB"));
    }
    if let Some(name) = name.as_deref().and_then(|name| name.strip_suffix("/build")) {
        let build: BuildImage = body(request).await;
        state.note(format!("build {name} {build:?}"));
        return succeed("image", &format!("{name}  built from recipe, 8 MB"));
    }
    if let Some(name) = name.as_deref().and_then(|name| name.strip_suffix("/promote")) {
        state.note(format!("promote {name}"));
        return succeed("image", &format!("{name}  copied, 8 MB"));
    }
    match (request.method().clone(), name) {
        (Method::GET, None) => json(&images()),
        (Method::POST, None) => {
            let pull: PullImage = body(request).await;
            let registry = &pull.registry;
            let mut note = format!(
                "pull {} as {:?} plain {} login {}",
                pull.reference,
                pull.name,
                registry.plain_http,
                registry.login.is_some()
            );
            for mirror in registry.mirror_logins.keys() {
                note += &format!(", of mirrors {mirror}");
            }
            for (host, realms) in &registry.realms {
                note += &format!(", of {host} also to {}", realms.join(" and "));
            }
            state.note(note);
            if pull.reference.ends_with("broken") {
                return events(Event::Failed {
                    error: ApiError {
                        code: ErrorCode::ArtefactFailed,
                        message: "cannot import image `registry.test/broken:latest`: not found".into(),
                        hint: Some("look for a misspelt name or tag".into()),
                        operation: None,
                    },
                });
            }
            events(Event::Succeeded { vm: None })
        }
        (Method::DELETE, None) => {
            state.note(format!("prune {query}"));
            json(&Pruned {
                blobs: 3,
                file_systems: 1,
                kernels: 0,
                bytes: 5 << 20,
            })
        }
        (Method::GET, Some(name)) => find(&name).map_or_else(|| missing(&name), |image| json(&image)),
        (Method::DELETE, Some(name)) => match find(&name) {
            Some(image) if !image.vms.is_empty() => failure(
                ErrorCode::ImageInUse,
                format!("cannot delete image `{name}`: quick-otter uses it"),
                Some("delete the VMs first: banger vm delete quick-otter"),
            ),
            Some(_) => {
                state.note(format!("delete image {name}"));
                let mut response = Response::new(nothing());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            None => missing(&name),
        },
        (Method::PUT, Some(name)) => {
            let bytes = request
                .into_body()
                .collect()
                .await
                .map(|body| body.to_bytes().len());
            let bytes = bytes.map_or_else(|_| "a broken stream".to_owned(), |count| format!("{count} bytes"));
            state.note(format!("upload {name} {query}: {bytes}"));
            events(Event::Succeeded { vm: None })
        }
        _ => failure(ErrorCode::NotFound, "no such route", None),
    }
}

fn nothing() -> BoxBody<Bytes, Infallible> {
    Empty::new().boxed()
}

fn events(end: Event) -> Answer {
    stream([
        stage("layer", StageState::Running, "0123456789ab"),
        stage("layer", StageState::Done, "0123456789ab  fetched, 3.4 MB"),
        stage("layer", StageState::Done, "ba9876543210  in the cache"),
        end,
    ])
}

/// An operation of one stage that succeeds.
pub fn succeed(name: &str, detail: &str) -> Answer {
    stream([
        stage(name, StageState::Done, detail),
        Event::Succeeded { vm: None },
    ])
}

fn stage(name: &str, state: StageState, detail: &str) -> Event {
    Event::Stage {
        name: name.into(),
        state,
        detail: detail.into(),
        done: Some(1),
        total: Some(2),
        elapsed_ms: 1_200,
    }
}

fn stream<const N: usize>(events: [Event; N]) -> Answer {
    let begun = Event::Started {
        operation: "pull".into(),
    };
    let lines: String = std::iter::once(begun)
        .chain(events)
        .map(|event| format!("{}\n", serde_json::to_string(&event).unwrap()))
        .collect();
    Response::new(whole(lines))
}
