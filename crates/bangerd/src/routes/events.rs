//! `GET /v1/events`.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::App;
use super::follow::{NDJSON, line};

/// A line for each thing that happens, until the client leaves or the daemon ends.
pub(crate) async fn events(State(app): State<App>) -> Response {
    let ending = app.ending;
    let lines = futures::stream::unfold(app.engine.listen(), |mut listener| async move {
        let notice = listener.next().await?;
        Some((Ok::<_, Infallible>(line(&*notice)), listener))
    });
    let lines = futures::StreamExt::take_until(lines, ending.cancelled_owned());
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
}
