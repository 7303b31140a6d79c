//! The API: HTTP/1.1 over a Unix socket, one connection for a row of requests.
//!
//! A guest that broke out of its machine may speak at the other end: answers are bounded, decoding is strict, and
//! waiting has an end.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;

use super::requests::{Fault, Instance};
use crate::VmmError;

/// How long an answer may take. Loading a kernel and writing a snapshot are answered when they are done.
const ANSWER: Duration = Duration::from_secs(60);
/// How long the socket may take to be there.
const LISTENS: Duration = Duration::from_secs(30);
/// How soon after it was not there it is looked for again. Firecracker makes it some milliseconds after its start,
/// and takes none that is ready-made.
const AGAIN: Duration = Duration::from_millis(1);
/// Bounds of an answer, in bytes and lines.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 16;
const MAX_BODY: usize = 64 << 10;

/// An open connection.
#[derive(Debug)]
pub(super) struct Api {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Api {
    /// Connects to a Firecracker that may still be starting.
    pub(super) async fn open(socket: &Path) -> Result<Self, VmmError> {
        let connecting = async {
            loop {
                match UnixStream::connect(socket).await {
                    Err(error) if is_early(&error) => tokio::time::sleep(AGAIN).await,
                    outcome => return outcome,
                }
            }
        };
        let stream = match tokio::time::timeout(LISTENS, connecting).await {
            Ok(stream) => stream.map_err(|error| failed(&format!("cannot connect: {error}")))?,
            Err(_) => return Err(failed(&format!("not there within {} s", LISTENS.as_secs()))),
        };
        Self::on(stream).await
    }

    /// Connects to a Firecracker that has been started.
    pub(super) async fn connect(socket: &Path) -> Result<Self, VmmError> {
        let stream = UnixStream::connect(socket).await;
        Self::on(stream.map_err(|error| failed(&format!("cannot connect: {error}")))?).await
    }

    async fn on(stream: UnixStream) -> Result<Self, VmmError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error.to_string()))?;
        let driver = tokio::spawn(async {
            // Seen by whoever waits for the answer.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            driver: driver.abort_handle(),
        })
    }

    /// `PUT path`
    pub(super) async fn put(&mut self, path: &str, body: &impl Serialize) -> Result<(), VmmError> {
        self.ask(Method::PUT, path, body).await
    }

    /// `PATCH path`
    pub(super) async fn patch(&mut self, path: &str, body: &impl Serialize) -> Result<(), VmmError> {
        self.ask(Method::PATCH, path, body).await
    }

    /// `GET /`, as far as whether the guest's processors stand still.
    pub(super) async fn is_paused(&mut self) -> Result<bool, VmmError> {
        let name = "`GET /`";
        let answer = tokio::time::timeout(ANSWER, self.exchange(Method::GET, "/", &())).await;
        match answer {
            Ok(Ok((StatusCode::OK, body))) => serde_json::from_slice::<Instance>(&body)
                .map(|instance| instance.state == "Paused")
                .map_err(|error| failed(&format!("{name}: {error}"))),
            Ok(Ok((status, body))) => Err(refused(name, status, &body)),
            Ok(Err(error)) => Err(failed(&format!("{name}: {error}"))),
            Err(_) => Err(failed(&format!(
                "{name}: no answer within {} s",
                ANSWER.as_secs()
            ))),
        }
    }

    async fn ask(&mut self, method: Method, path: &str, body: &impl Serialize) -> Result<(), VmmError> {
        let name = format!("`{method} {path}`");
        match tokio::time::timeout(ANSWER, self.exchange(method, path, body)).await {
            Ok(Ok((StatusCode::NO_CONTENT, _))) => Ok(()),
            Ok(Ok((status, body))) => Err(refused(&name, status, &body)),
            Ok(Err(error)) => Err(failed(&format!("{name}: {error}"))),
            Err(_) => Err(failed(&format!(
                "{name}: no answer within {} s",
                ANSWER.as_secs()
            ))),
        }
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let body = match method {
            // It refuses one that has a body.
            Method::GET => Vec::new(),
            _ => serde_json::to_vec(body)?,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "firecracker")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))?;
        // The connection may still be busy with the end of the last answer, on another thread.
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_BODY).collect().await?;
        Ok((status, body.to_bytes()))
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The socket has not been made yet, or nobody listens on it yet.
fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// What Firecracker says of a request that it does not carry out.
fn refused(request: &str, status: StatusCode, body: &[u8]) -> VmmError {
    match serde_json::from_slice::<Fault>(body) {
        Ok(Fault { fault_message }) => VmmError::Refused {
            request: request.to_owned(),
            reason: crate::text::last_lines(fault_message.replace('\n', " ").as_bytes(), 1),
        },
        Err(_) => failed(&format!("{request}: status {} without a reason", status.as_u16())),
    }
}

/// What it says is made fit for a terminal.
fn failed(message: &str) -> VmmError {
    VmmError::Control {
        message: crate::text::last_lines(message.as_bytes(), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_is_one_line_in_firecrackers_words() {
        let told = |body: &str| refused("`PUT /vsock`", StatusCode::BAD_REQUEST, body.as_bytes()).to_string();
        assert_eq!(
            told(r#"{"fault_message":"The kernel file cannot be opened:\nno"}"#),
            "the VMM refused `PUT /vsock`: The kernel file cannot be opened: no"
        );
        for strange in ["", "{}", "[1]", r#"{"fault_message":7}"#] {
            assert_eq!(
                told(strange),
                "the VMM's control socket: `PUT /vsock`: status 400 without a reason"
            );
        }
    }

    proptest! {
        #[test]
        fn no_answer_can_steer_a_terminal(body: Vec<u8>, message: String) {
            let told = |body: &[u8]| refused("`PUT /`", StatusCode::BAD_REQUEST, body).to_string();
            let fault = serde_json::json!({ "fault_message": message }).to_string();
            prop_assert!(!told(&body).chars().any(char::is_control));
            prop_assert!(!told(fault.as_bytes()).chars().any(char::is_control));
        }
    }
}
