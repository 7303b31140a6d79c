//! Requests that become streams: what they must say, and the answer that makes them so.

use std::error::Error;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use guest::AgentStream;
use guest::forward;
use http_body_util::LengthLimitError;
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
        .map_err(|error| match is_too_long(&error) {
            true => Failure::too_long(what),
            false => Failure::bad_request(error.to_string()),
        })?;
    let body = serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(format!("not a {what}: {error}")))?;
    Ok((upgrade, body))
}

/// Whether a body is longer than it may be.
fn is_too_long(error: &axum::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_is_too_long_is_refused_with_the_bound() {
        let body = vec![b' '; LARGEST_BODY + 1];
        let request = Request::builder()
            .header(header::UPGRADE, guest::UPGRADE_EXEC)
            .body(Body::from(body))
            .unwrap();
        let refused = accept::<guest::Exec>(request, guest::UPGRADE_EXEC, "command").await;
        let message = refused.err().map(|failure| failure.0.message);
        assert_eq!(
            message.as_deref(),
            Some("the command is longer than the 1 MiB that a request may have")
        );
    }
}
