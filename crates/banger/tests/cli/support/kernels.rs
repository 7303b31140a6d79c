//! The daemon's kernels: one of the catalog, one of the user's, and whatever is sent, which is gone at once.

use std::sync::Arc;

use api::{CatalogKernel, ErrorCode, Kernel, KernelKind, PullKernel};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::daemon::State;
use super::images::succeed;
use super::routes::{Answer, body, failure, json};

fn kernels() -> Vec<Kernel> {
    let cloud = Kernel {
        id: "debian-cloud-6.1.0-56-cloud-amd64".into(),
        name: "debian-cloud".into(),
        version: "6.1.0-56-cloud-amd64".into(),
        kind: KernelKind::Catalog,
        distro: Some("debian".into()),
        arch: "amd64".into(),
        bytes: 120 << 20,
        initrd: false,
        images: vec!["app".into(), "debian-minimal".into()],
        vms: vec!["quick-otter".into()],
        created_at: Timestamp::now() - SignedDuration::from_hours(5),
    };
    let mine = Kernel {
        id: "mine-6.12.3+".into(),
        name: "mine".into(),
        version: "6.12.3+".into(),
        kind: KernelKind::Imported,
        distro: None,
        bytes: 40 << 20,
        initrd: true,
        images: Vec::new(),
        vms: Vec::new(),
        ..cloud.clone()
    };
    vec![cloud, mine]
}

pub fn catalog() -> Answer {
    let kernel = |name: &str, here: Option<&str>, description: &str| CatalogKernel {
        id: name.into(),
        name: name.into(),
        distro: "debian".into(),
        arch: "amd64".into(),
        description: description.into(),
        here: here.map(str::to_owned),
    };
    json(&[
        kernel(
            "debian-cloud",
            Some("6.1.0-56-cloud-amd64"),
            "Debian 12's kernel for virtual machines",
        ),
        kernel("generic", None, "small and fast\u{1b}[2J"),
    ])
}

pub async fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let name = path.strip_prefix("/v1/kernels/").map(str::to_owned);
    let missing = |name: &str| {
        failure(
            ErrorCode::KernelNotFound,
            format!("no kernel is called `{name}`"),
            Some("there is debian-cloud, mine"),
        )
    };
    let find = |name: &str| kernels().into_iter().find(|kernel| kernel.name == name);
    match (request.method().clone(), name) {
        (Method::GET, None) => json(&kernels()),
        (Method::POST, None) => {
            let pull: PullKernel = body(request).await;
            state.note(format!("pull kernel {} force {}", pull.name, pull.force));
            match pull.name.as_str() {
                "debian-cloud" | "generic" => {
                    succeed("kernel", &format!("{} 6.1.0  fetched, 26 MB", pull.name))
                }
                name => missing(name),
            }
        }
        (Method::GET, Some(name)) => find(&name).map_or_else(|| missing(&name), |kernel| json(&kernel)),
        (Method::DELETE, Some(name)) => match find(&name) {
            Some(kernel) if !kernel.images.is_empty() => failure(
                ErrorCode::KernelInUse,
                format!("cannot delete kernel `{name}`: images app, debian-minimal use it"),
                Some("delete the images first: banger image delete app debian-minimal"),
            ),
            Some(_) => {
                state.note(format!("delete kernel {name}"));
                let mut response = Response::new(Empty::new().boxed());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            None => missing(&name),
        },
        (Method::PUT, Some(name)) => {
            let sent = request.into_body().collect().await;
            let Ok(sent) = sent.map(http_body_util::Collected::to_bytes) else {
                state.note(format!("import {name}: a broken stream"));
                return failure(ErrorCode::ArtefactFailed, "broken off", None);
            };
            let mut members = Vec::new();
            for entry in tar::Archive::new(&*sent).entries().unwrap() {
                let entry = entry.unwrap();
                members.push(format!("{} {}", entry.path().unwrap().display(), entry.size()));
            }
            state.note(format!("import {name} {query}: {}", members.join(", ")));
            let mut answer = json(&Kernel {
                name,
                ..find("mine").unwrap()
            });
            *answer.status_mut() = StatusCode::CREATED;
            answer
        }
        _ => failure(ErrorCode::NotFound, "no such route", None),
    }
}
