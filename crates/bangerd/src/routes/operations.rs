//! `/v1/operations`.

use api::Operation;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::follow::{Hold, stream};
use super::{App, Failure};

pub(crate) async fn list(State(app): State<App>) -> Json<Vec<Operation>> {
    Json(app.engine.operations().list())
}

pub(crate) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Operation>, Failure> {
    Ok(Json(app.engine.operations().get(&id)?.view()))
}

pub(crate) async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    app.engine.operations().get(&id)?.cancel();
    Ok(StatusCode::ACCEPTED)
}

pub(crate) async fn events(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    Ok(stream(app.engine.operations().get(&id)?, Hold::Watch))
}
