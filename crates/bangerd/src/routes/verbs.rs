//! `/v1/vms/{ref}/restart`, `/kill`, `/ping`.

use api::{KillVm, Pong};
use axum::Json;
use axum::body::Bytes;
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
