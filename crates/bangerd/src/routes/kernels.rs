//! `/v1/kernels` and `/v1/catalog/kernels`.

use std::io;

use api::{CatalogKernel, ImportKernel, Kernel, PullKernel};
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use futures::TryStreamExt;
use tokio_util::io::StreamReader;

use super::follow::{Hold, answer};
use super::whole::Client;
use super::{App, Failure};

pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Kernel>>, Failure> {
    Ok(Json(app.engine.kernels().list().await?))
}

pub(crate) async fn available(State(app): State<App>) -> Result<Json<Vec<CatalogKernel>>, Failure> {
    Ok(Json(app.engine.kernels().available().await?))
}

pub(crate) async fn show(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Kernel>, Failure> {
    Ok(Json(app.engine.kernels().show(&name).await?))
}

pub(crate) async fn pull(
    State(app): State<App>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Result<Json<PullKernel>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(request) = body?;
    client
        .unless_left(app.engine.kernels().look_up(&request.name))
        .await?;
    let operation = app.engine.kernels().pull(request).await?;
    Ok(answer(&headers, operation, Hold::Cancel))
}

/// A client that breaks off leaves nothing.
pub(crate) async fn import(
    State(app): State<App>,
    Path(name): Path<String>,
    query: Result<Query<ImportKernel>, QueryRejection>,
    body: Body,
) -> Result<(StatusCode, Json<Kernel>), Failure> {
    let Query(request) = query?;
    let body = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let kernel = app.engine.kernels().import(&name, request, body).await?;
    Ok((StatusCode::CREATED, Json(kernel)))
}

pub(crate) async fn delete(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    app.engine.kernels().delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
