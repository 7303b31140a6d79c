//! `POST /v1/vms/{ref}/exec`: joins the client's connection to a stream into the guest.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use guest::Exec;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use super::{App, Failure, LARGEST_BODY};

/// The protocol that the connection upgrades to.
const PROTOCOL: &str = "banger-exec";
/// Bytes on their way in either direction.
const BUFFER: usize = 64 << 10;

pub(crate) async fn exec(
    State(app): State<App>,
    Path(reference): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    if request
        .headers()
        .get(header::UPGRADE)
        .is_none_or(|value| value.as_bytes() != PROTOCOL.as_bytes())
    {
        return Err(Failure::bad_request(format!(
            "exec is a stream: send `Upgrade: {PROTOCOL}`"
        )));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let body = axum::body::to_bytes(request.into_body(), LARGEST_BODY)
        .await
        .map_err(|error| Failure::bad_request(error.to_string()))?;
    let exec: Exec = serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(format!("not an exec: {error}")))?;
    let mut guest = app.engine.vms().exec(&reference, &exec).await?;
    tokio::spawn(async move {
        let client = match upgrade.await {
            Ok(client) => client,
            Err(error) => return tracing::debug!(%error, "a client left before its command began"),
        };
        let mut client = TokioIo::new(client);
        if let Err(error) = copy_bidirectional_with_sizes(&mut client, &mut guest, BUFFER, BUFFER).await {
            tracing::debug!(%error, "an exec's stream broke");
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static(PROTOCOL));
    Ok(response)
}
