//! `/v1/vms/{ref}/files`: tar streams between a client and a guest, passed on piece by piece.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use guest::files::{ReadFiles, WriteFiles, Written, body_of, take_apart};

use super::{App, Failure};

/// The media type of the streams.
const TAR: &str = "application/x-tar";

pub(crate) async fn read(
    State(app): State<App>,
    Path(reference): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = ReadFiles::from_query(&query.unwrap_or_default()).map_err(Failure::bad_request)?;
    let files = app.engine.vms().read_files(&reference, &query).await?;
    let pieces = futures::stream::unfold(files, |mut files| async move {
        let piece = files.next().await.map_err(io::Error::other).transpose()?;
        Some((piece, files))
    });
    Ok(([(header::CONTENT_TYPE, TAR)], Body::from_stream(pieces)).into_response())
}

pub(crate) async fn write(
    State(app): State<App>,
    Path(reference): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<Written>, Failure> {
    let query = WriteFiles::from_query(&query.unwrap_or_default()).map_err(Failure::bad_request)?;
    let tar = body_of(take_apart(request.into_body()));
    Ok(Json(app.engine.vms().write_files(&reference, &query, tar).await?))
}
