//! The host API's routes: requests become engine calls, outcomes become answers.

mod broken;
mod configured;
mod events;
mod exec;
mod failure;
mod files;
mod follow;
mod forward;
mod images;
mod kernels;
mod logs;
mod operations;
mod ports;
mod report;
mod ssh;
mod upgrade;
mod verbs;
mod vms;
mod whole;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, post};
use config::Paths;
use engine::{Doctor, Engine};
use tokio_util::sync::CancellationToken;

use failure::Failure;

/// Largest body of a request in bytes.
const LARGEST_BODY: usize = 1 << 20;

/// What the routes work with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) paths: Paths,
    pub(crate) doctor: Doctor,
    /// Cancelled when the daemon is about to end.
    pub(crate) ending: CancellationToken,
}

/// All routes; `api`'s documentation lists them, and `docs/openapi.json` describes them.
fn routes() -> [(&'static str, MethodRouter<App>); 33] {
    [
        ("/v1/version", get(report::version)),
        ("/v1/doctor", get(report::doctor)),
        ("/v1/df", get(report::space)),
        ("/v1/vms", get(vms::list).post(vms::create)),
        (
            "/v1/vms/{reference}",
            get(vms::show).patch(verbs::set).delete(vms::delete),
        ),
        ("/v1/vms/{reference}/start", post(vms::start)),
        ("/v1/vms/{reference}/stop", post(vms::stop)),
        ("/v1/vms/{reference}/restart", post(verbs::restart)),
        ("/v1/vms/{reference}/kill", post(verbs::kill)),
        ("/v1/vms/{reference}/ping", get(verbs::ping)),
        ("/v1/vms/{reference}/stats", get(verbs::stats)),
        ("/v1/vms/{reference}/boot", get(verbs::boot)),
        ("/v1/vms/{reference}/exec", post(exec::exec)),
        ("/v1/vms/{reference}/forward", post(forward::forward)),
        ("/v1/vms/{reference}/ports", get(ports::ports)),
        ("/v1/vms/{reference}/ssh", get(ssh::access).post(ssh::connect)),
        ("/v1/ssh", get(ssh::files)),
        ("/v1/vms/{reference}/files", get(files::read).put(files::write)),
        ("/v1/vms/{reference}/logs", get(logs::logs)),
        ("/v1/images", get(images::list).post(images::pull)),
        (
            "/v1/images/{reference}",
            get(images::show).put(images::upload).delete(images::delete),
        ),
        ("/v1/images/{reference}/register", post(images::register)),
        ("/v1/images/{reference}/promote", post(images::promote)),
        ("/v1/images/{reference}/build", post(images::build)),
        ("/v1/images/{reference}/bundle", get(images::export)),
        ("/v1/kernels", get(kernels::list).post(kernels::pull)),
        (
            "/v1/kernels/{name}",
            get(kernels::show).put(kernels::import).delete(kernels::delete),
        ),
        ("/v1/catalog/kernels", get(kernels::available)),
        ("/v1/cache", delete(images::prune)),
        ("/v1/events", get(events::events)),
        ("/v1/operations", get(operations::list)),
        (
            "/v1/operations/{id}",
            get(operations::show).delete(operations::cancel),
        ),
        ("/v1/operations/{id}/events", get(operations::events)),
    ]
}

pub(crate) fn router(app: App) -> Router {
    routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(|| async { Failure::no_route() })
        .method_not_allowed_fallback(|| async { Failure::no_route() })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(whole::carry_out))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            configured::unless_unread,
        ))
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_route_is_in_the_description_and_the_other_way_round() {
        let text = include_str!("../../../docs/openapi.json");
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let routes: BTreeSet<_> = routes().into_iter().map(|(path, _)| path).collect();
        assert_eq!(routes, described);
    }
}
