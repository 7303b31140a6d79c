//! `/v1/images` and `/v1/cache`.

use std::io::{self, BufWriter, Write};

use api::{BuildImage, Image, Pruned, PullImage, RegisterImage, UploadImage};
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures::TryStreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

use super::follow::{Hold, answer};
use super::whole::Client;
use super::{App, Failure};

/// The media type of bundles.
const BUNDLE: &str = "application/zstd";
/// Bytes of one piece of a bundle.
const PIECE: usize = 256 << 10;
/// Pieces on their way.
const PIECES: usize = 4;

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
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Result<Json<PullImage>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(request) = body?;
    client
        .unless_left(app.engine.images().look_up(&request.reference))
        .await?;
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

pub(crate) async fn register(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Json<RegisterImage>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(request) = body?;
    let operation = app.engine.images().register(&name, request).await?;
    Ok(answer(&headers, operation, Hold::Cancel))
}

pub(crate) async fn build(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Json<BuildImage>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(request) = body?;
    let operation = app.engine.images().build(&name, request).await?;
    Ok(answer(&headers, operation, Hold::Cancel))
}

pub(crate) async fn promote(
    State(app): State<App>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let operation = app.engine.images().promote(&reference).await?;
    Ok(answer(&headers, operation, Hold::Cancel))
}

/// The bundle is written while it is sent: a client that does not read it stops the writer.
pub(crate) async fn export(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Response, Failure> {
    let export = app.engine.images().export(&reference).await?;
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let out = BufWriter::with_capacity(PIECE, Pieces(sender.clone()));
        if let Err(error) = export.write(out) {
            // The end without an end tells the client that this was not all.
            let _ = sender.blocking_send(Err(io::Error::other(error)));
        }
    });
    let pieces = futures::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    Ok(([(header::CONTENT_TYPE, BUNDLE)], Body::from_stream(pieces)).into_response())
}

struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
