//! `/v1/images` and `/v1/cache`.

use std::io;

use api::{Image, Pruned, PullImage, UploadImage};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::TryStreamExt;
use serde::Deserialize;
use tokio_util::io::StreamReader;

use super::follow::{Hold, answer};
use super::{App, Failure};

pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Image>>, Failure> {
    Ok(Json(app.engine.images().list().await?))
}

pub(crate) async fn show(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Image>, Failure> {
    Ok(Json(app.engine.images().show(&reference).await?))
}

pub(crate) async fn pull(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Json<PullImage>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(request) = body?;
    let operation = app.engine.images().pull(request).await?;
    Ok(answer(&headers, operation, Hold::Cancel))
}

/// The whole body is received before the operation begins: a client that breaks off leaves nothing.
pub(crate) async fn upload(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Result<Query<UploadImage>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let Query(request) = query.map_err(|rejection| Failure::bad_request(rejection.body_text()))?;
    let body = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let upload = app.engine.images().receive(&name, request, body).await?;
    let operation = app.engine.images().import(upload).await?;
    Ok(answer(&headers, operation, Hold::Cancel))
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<StatusCode, Failure> {
    app.engine.images().delete(&reference).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Query of `DELETE /v1/cache`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prune {
    #[serde(default)]
    dry_run: bool,
}

pub(crate) async fn prune(
    State(app): State<App>,
    query: Result<Query<Prune>, QueryRejection>,
) -> Result<Json<Pruned>, Failure> {
    let Query(Prune { dry_run }) = query.map_err(|rejection| Failure::bad_request(rejection.body_text()))?;
    Ok(Json(app.engine.images().prune(dry_run).await?))
}
