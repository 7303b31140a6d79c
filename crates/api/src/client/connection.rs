//! One HTTP/1.1 connection over the daemon's Unix socket: a call each, bounded in time and size.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use super::{ClientError, socket};
use crate::ErrorBody;

/// Longest JSON answer: some thousands of VMs.
const LONGEST_ANSWER: usize = 16 << 20;

/// Longest error answer.
const LONGEST_ERROR: usize = 64 << 10;

/// A request before it is sent.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    /// JSON, if there is a body.
    pub(super) body: Option<Vec<u8>>,
    pub(super) headers: &'static [(&'static str, &'static str)],
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            headers: &[],
        }
    }

    pub(super) fn json(mut self, body: &impl serde::Serialize) -> Result<Self, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Protocol(error.to_string()))?;
        self.body = Some(body);
        Ok(self)
    }

    pub(super) fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    fn request(self) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(HOST, "banger")
            .header(USER_AGENT, concat!("banger/", env!("CARGO_PKG_VERSION")));
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        if self.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        // `Full` knows its length: hyper sends Content-Length, never chunks.
        request
            .body(Full::new(self.body.map(Bytes::from).unwrap_or_default()))
            .map_err(|error| ClientError::Protocol(error.to_string()))
    }
}

/// The task that drives a connection. Dropping it closes the socket, which is how the daemon learns that its client
/// has lost interest.
pub(super) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer whose body is still to be read.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) driver: Driver,
}

/// Sends `call` and waits at most `patience` for the head of the answer. A status of 400 or more is an error.
pub(super) async fn send(socket: &Path, call: Call, patience: Duration) -> Result<Answer, ClientError> {
    let silent = ClientError::Silent { waited: patience };
    tokio::time::timeout(patience, exchange(socket, call))
        .await
        .map_err(|_| silent)?
}

async fn exchange(socket: &Path, call: Call) -> Result<Answer, ClientError> {
    let request = call.request()?;
    let stream = socket::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ClientError::Broke)?;
    let driver = Driver(tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to the daemon ended");
        }
    }));
    let response = sender.send_request(request).await.map_err(ClientError::Broke)?;
    if response.status().as_u16() < 400 {
        return Ok(Answer { response, driver });
    }
    let status = response.status();
    let body = read_whole(response, LONGEST_ERROR).await?;
    Err(match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(body) => ClientError::Api(body.error),
        Err(_) => ClientError::Protocol(format!("status {status} without a reason")),
    })
}

/// Sends `call` and decodes the JSON answer, which must have `status`.
pub(super) async fn fetch<T: DeserializeOwned>(
    socket: &Path,
    call: Call,
    status: StatusCode,
    patience: Duration,
) -> Result<T, ClientError> {
    let silent = ClientError::Silent { waited: patience };
    let whole = async {
        let answer = exchange(socket, call).await?;
        expect_status(&answer.response, status)?;
        let body = read_whole(answer.response, LONGEST_ANSWER).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Protocol(error.to_string()))
    };
    tokio::time::timeout(patience, whole).await.map_err(|_| silent)?
}

/// Fails unless the answer has `status`.
pub(super) fn expect_status(response: &Response<Incoming>, status: StatusCode) -> Result<(), ClientError> {
    if response.status() == status {
        return Ok(());
    }
    Err(ClientError::Protocol(format!(
        "status {} where {status} was due",
        response.status()
    )))
}

async fn read_whole(response: Response<Incoming>, limit: usize) -> Result<Vec<u8>, ClientError> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(ClientError::Broke)?.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(ClientError::TooLong { limit });
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
