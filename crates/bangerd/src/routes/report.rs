//! `/v1/version` and `/v1/doctor`.

use api::{Report, Space, Version};
use axum::Json;
use axum::extract::State;
use engine::EngineError;

use super::{App, Failure};

pub(crate) async fn version(State(app): State<App>) -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        socket: app.paths.socket().display().to_string(),
        state: app.paths.state().display().to_string(),
    })
}

pub(crate) async fn doctor(State(app): State<App>) -> Result<Json<Report>, Failure> {
    let doctor = app.doctor;
    let checks = tokio::task::spawn_blocking(move || doctor.examine())
        .await
        .map_err(|panic| EngineError::Internal(format!("examining the host: {panic}")))?;
    Ok(Json(Report { checks }))
}

pub(crate) async fn space(State(app): State<App>) -> Result<Json<Space>, Failure> {
    Ok(Json(app.engine.space().await?))
}
