//! The host API's routes: requests become engine calls, outcomes become answers.

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

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
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

/// All routes; `api`'s documentation lists them.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/version", get(report::version))
        .route("/v1/doctor", get(report::doctor))
        .route("/v1/df", get(report::space))
        .route("/v1/vms", get(vms::list).post(vms::create))
        .route(
            "/v1/vms/{reference}",
            get(vms::show).patch(verbs::set).delete(vms::delete),
        )
        .route("/v1/vms/{reference}/start", post(vms::start))
        .route("/v1/vms/{reference}/stop", post(vms::stop))
        .route("/v1/vms/{reference}/restart", post(verbs::restart))
        .route("/v1/vms/{reference}/kill", post(verbs::kill))
        .route("/v1/vms/{reference}/ping", get(verbs::ping))
        .route("/v1/vms/{reference}/stats", get(verbs::stats))
        .route("/v1/vms/{reference}/boot", get(verbs::boot))
        .route("/v1/vms/{reference}/exec", post(exec::exec))
        .route("/v1/vms/{reference}/forward", post(forward::forward))
        .route("/v1/vms/{reference}/ports", get(ports::ports))
        .route("/v1/vms/{reference}/ssh", get(ssh::access).post(ssh::connect))
        .route("/v1/ssh", get(ssh::files))
        .route("/v1/vms/{reference}/files", get(files::read).put(files::write))
        .route("/v1/vms/{reference}/logs", get(logs::logs))
        .route("/v1/images", get(images::list).post(images::pull))
        .route(
            "/v1/images/{reference}",
            get(images::show).put(images::upload).delete(images::delete),
        )
        .route("/v1/kernels", get(kernels::list).post(kernels::pull))
        .route(
            "/v1/kernels/{name}",
            get(kernels::show).put(kernels::import).delete(kernels::delete),
        )
        .route("/v1/catalog/kernels", get(kernels::available))
        .route("/v1/cache", delete(images::prune))
        .route("/v1/events", get(events::events))
        .route("/v1/operations", get(operations::list))
        .route(
            "/v1/operations/{id}",
            get(operations::show).delete(operations::cancel),
        )
        .route("/v1/operations/{id}/events", get(operations::events))
        .fallback(|| async { Failure::no_route() })
        .method_not_allowed_fallback(|| async { Failure::no_route() })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(app)
}
