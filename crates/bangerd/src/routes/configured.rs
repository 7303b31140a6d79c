//! What makes or starts something goes by the configuration: a daemon whose start could not read it refuses that, and
//! does everything else. It makes way for the next daemon once the configuration can be read again.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{App, Failure};

pub(crate) async fn unless_unread(State(app): State<App>, request: Request, next: Next) -> Response {
    if let Some(configured) = app.doctor.configured.filter(|_| goes_by_it(&request)) {
        // It reads files.
        let unread = tokio::task::spawn_blocking(move || configured.unread()).await;
        if let Ok(Some(error)) = unread {
            return Failure::from(error).into_response();
        }
    }
    next.run(request).await
}

/// Whether a call depends on the user's settings: sources, mirrors, certificates, defaults, keys.
fn goes_by_it(request: &Request) -> bool {
    let path = request.uri().path().trim_start_matches("/v1/");
    let words: Vec<&str> = path.split('/').collect();
    matches!(
        (request.method(), words.as_slice()),
        (&Method::POST, ["vms"] | ["vms", _, "start" | "restart"])
            | (&Method::POST | &Method::PUT, ["images" | "kernels", ..])
            | (_, ["catalog", ..] | ["ssh"] | ["vms", _, "ssh"])
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn what_ends_enters_and_shows_vms_does_not_depend_on_the_configuration() {
        for (method, path, goes) in [
            ("GET", "/v1/vms", false),
            ("GET", "/v1/vms/box", false),
            ("DELETE", "/v1/vms/box", false),
            ("PATCH", "/v1/vms/box", false),
            ("POST", "/v1/vms/box/stop", false),
            ("POST", "/v1/vms/box/kill", false),
            ("POST", "/v1/vms/box/exec", false),
            ("POST", "/v1/vms/box/forward", false),
            ("PUT", "/v1/vms/box/files", false),
            ("GET", "/v1/images", false),
            ("DELETE", "/v1/images/alpine", false),
            ("GET", "/v1/images/alpine/bundle", false),
            ("DELETE", "/v1/operations/1", false),
            ("GET", "/v1/doctor", false),
            ("POST", "/v1/vms", true),
            ("POST", "/v1/vms/box/start", true),
            ("POST", "/v1/vms/box/restart", true),
            ("POST", "/v1/images", true),
            ("PUT", "/v1/images/app", true),
            ("POST", "/v1/images/app/build", true),
            ("POST", "/v1/kernels", true),
            ("PUT", "/v1/kernels/mine", true),
            ("GET", "/v1/catalog/kernels", true),
            ("GET", "/v1/vms/box/ssh", true),
            ("GET", "/v1/ssh", true),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .unwrap();
            assert_eq!(goes_by_it(&request), goes, "{method} {path}");
        }
    }
}
