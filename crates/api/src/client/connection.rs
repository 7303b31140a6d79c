//! One HTTP/1.1 connection over the daemon's Unix socket: a call each, bounded in time and size.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use guest::files::TarBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
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

    fn request(mut self) -> Result<Request<Full<Bytes>>, ClientError> {
        // `Full` knows its length: hyper sends Content-Length, never chunks.
        let json = self.body.is_some();
        let body = Full::new(self.body.take().map(Bytes::from).unwrap_or_default());
        let mut request = self.request_with(body)?;
        if json {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        Ok(request)
    }

    fn request_with<B>(self, body: B) -> Result<Request<B>, ClientError> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(HOST, "banger")
            .header(USER_AGENT, concat!("banger/", env!("CARGO_PKG_VERSION")));
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        request
            .body(body)
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
    let request = call.request()?;
    tokio::time::timeout(patience, exchange(socket, request))
        .await
        .map_err(|_| silent)?
}

/// Sends `call` with a body that comes piece by piece, and waits for the head of the answer for as long as that takes.
pub(super) async fn send_body<B>(socket: &Path, call: Call, body: B) -> Result<Answer, ClientError>
where
    B: Body<Data = Bytes, Error = io::Error> + Send + 'static,
{
    exchange(socket, call.request_with(Box::pin(body))?).await
}

/// Sends `call` with a stream for its body, and decodes the JSON answer. Has no patience of its own: the answer comes
/// when the stream has ended, or before where it was refused.
pub(super) async fn upload<T: DeserializeOwned>(
    socket: &Path,
    call: Call,
    body: TarBody,
) -> Result<T, ClientError> {
    let request = call.request()?.map(|_no_body| body);
    let answer = exchange(socket, request).await?;
    expect_status(&answer.response, StatusCode::OK)?;
    receive(answer).await
}

async fn exchange<B>(socket: &Path, request: Request<B>) -> Result<Answer, ClientError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
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
        let answer = exchange(socket, call.request()?).await?;
        expect_status(&answer.response, status)?;
        receive(answer).await
    };
    tokio::time::timeout(patience, whole).await.map_err(|_| silent)?
}

/// Decodes the JSON of an answer whose head has come. Has no patience of its own.
pub(super) async fn receive<T: DeserializeOwned>(answer: Answer) -> Result<T, ClientError> {
    let body = read_whole(answer.response, LONGEST_ANSWER).await?;
    serde_json::from_slice(&body).map_err(|error| ClientError::Protocol(error.to_string()))
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
