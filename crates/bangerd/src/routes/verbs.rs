//! `/v1/vms/{ref}/restart`, `/kill`, `/ping`, `/stats`, `/boot`, and changing a VM.

use api::{Booted, KillVm, Pong, SetVm, VmStats};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::follow::{Hold, answer};
use super::{App, Failure};

/// Goes on when its client leaves: half a restart is a VM that is off.
pub(crate) async fn restart(
    State(app): State<App>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let operation = app.engine.vms().restart(&reference).await?;
    Ok(answer(&headers, operation, Hold::Watch))
}

pub(crate) async fn kill(
    State(app): State<App>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let KillVm { signal } = match body.is_empty() {
        true => KillVm::default(),
        false => serde_json::from_slice(&body)
            .map_err(|error| Failure::bad_request(format!("not a kill: {error}")))?,
    };
    let operation = app.engine.vms().kill(&reference, signal).await?;
    Ok(answer(&headers, operation, Hold::Watch))
}

pub(crate) async fn ping(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Pong>, Failure> {
    Ok(Json(app.engine.vms().ping(&reference).await?))
}

/// Goes on when its client leaves: half of it would be done anyway.
pub(crate) async fn set(
    State(app): State<App>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    body: Result<Json<SetVm>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(change) = body?;
    let operation = app.engine.vms().set(&reference, change).await?;
    Ok(answer(&headers, operation, Hold::Watch))
}

pub(crate) async fn stats(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<VmStats>, Failure> {
    Ok(Json(app.engine.vms().stats(&reference).await?))
}

pub(crate) async fn boot(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Booted>, Failure> {
    Ok(Json(app.engine.vms().boot(&reference).await?))
}
