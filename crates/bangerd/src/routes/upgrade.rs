//! Requests that become streams: what they must say, and the answer that makes them so.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use guest::AgentStream;
use guest::forward;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::{Failure, LARGEST_BODY};

/// The stream that the request's connection becomes, and its JSON body, called `what` where it is none.
pub(super) async fn accept<T: DeserializeOwned>(
    mut request: Request,
    protocol: &'static str,
    what: &str,
) -> Result<(OnUpgrade, T), Failure> {
    if request
        .headers()
        .get(header::UPGRADE)
        .is_none_or(|value| value.as_bytes() != protocol.as_bytes())
    {
        return Err(Failure::bad_request(format!(
            "{what} is a stream: send `Upgrade: {protocol}`"
        )));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let body = axum::body::to_bytes(request.into_body(), LARGEST_BODY)
        .await
        .map_err(|error| Failure::bad_request(error.to_string()))?;
    let body = serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(format!("not a {what}: {error}")))?;
    Ok((upgrade, body))
}

/// Joins the client's connection, once it is one, to a stream into the guest; `what` they are goes to the log.
pub(super) fn join(upgrade: OnUpgrade, mut guest: AgentStream, what: &'static str) {
    tokio::spawn(async move {
        let client = match upgrade.await {
            Ok(client) => client,
            Err(error) => return tracing::debug!(%error, what, "a client left before its connection began"),
        };
        let joined = match client.downcast::<TokioIo<UnixStream>>() {
            Ok(parts) => match guest.write_all(&parts.read_buf).await {
                Ok(()) => forward::join_socket(parts.io.inner(), &mut guest).await,
                Err(error) => Err(error),
            },
            Err(client) => forward::join(&mut TokioIo::new(client), &mut guest).await,
        };
        if let Err(error) = joined {
            tracing::debug!(%error, what, "a connection broke");
        }
    });
}

/// 101.
pub(super) fn switching(protocol: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static(protocol));
    response
}
