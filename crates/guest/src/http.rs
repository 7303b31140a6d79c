//! One HTTP/1.1 exchange over one stream, with bounds on everything that comes back.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::head::{Allowance, UntilAnswered};
use crate::{AgentError, Problem};

/// Most bytes of an answer's head; also the size of what hyper reads ahead.
const MAX_HEAD: usize = 64 << 10;

/// Most bytes that are read until an answer has begun: its head, `1xx` heads before it, and what hyper reads ahead.
const MAX_BEFORE: usize = 4 * MAX_HEAD;

/// Most header lines of an answer.
const MAX_HEADERS: usize = 32;

/// Most bytes of an answer's body.
pub(crate) const MAX_BODY: usize = 16 << 10;

/// The same of one that is a list: of what listens, or of what was left out of a copy.
pub(crate) const MAX_LIST: usize = 512 << 10;

/// A byte stream to the agent.
pub(crate) type Stream = Box<dyn Duplex>;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Duplex for T {}

/// A request without its stream.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) body: Bytes,
    /// Most bytes of the answer's body.
    pub(crate) most: usize,
}

impl Ask {
    /// A request without a body.
    pub(crate) fn plain(method: Method, path: &'static str) -> Self {
        Self {
            method,
            path,
            body: Bytes::new(),
            most: MAX_BODY,
        }
    }

    /// A request without a body that is answered by a list.
    pub(crate) fn list(method: Method, path: &'static str) -> Self {
        Self {
            most: MAX_LIST,
            ..Self::plain(method, path)
        }
    }

    /// A request with a JSON body.
    pub(crate) fn json(
        method: Method,
        path: &'static str,
        body: &impl Serialize,
    ) -> Result<Self, AgentError> {
        let body = serde_json::to_vec(body).map_err(|error| AgentError::Protocol(error.to_string()))?;
        Ok(Self {
            method,
            path,
            body: body.into(),
            most: MAX_BODY,
        })
    }

    fn request(self) -> hyper::http::request::Builder {
        Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(HOST, "agent")
    }
}

/// Asks and gives the answer's status and body.
pub(crate) async fn ask(stream: Stream, ask: Ask) -> Result<(StatusCode, Bytes), AgentError> {
    let (body, most) = (ask.body.clone(), ask.most);
    let request = ask
        .request()
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(protocol)?;
    // Held until all is read, and no longer: a guest that goes on talks to nobody.
    let (response, _driver) = send(stream, request).await?;
    collect(response, most).await
}

/// Asks for an upgrade to `protocol_name`; gives the stream, or the status and body of the answer that refused it.
pub(crate) async fn upgrade(
    stream: Stream,
    ask: Ask,
    protocol_name: &'static str,
) -> Result<Result<Upgraded, (StatusCode, Bytes)>, AgentError> {
    let body = ask.body.clone();
    let request = ask
        .request()
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, protocol_name)
        .body(Full::new(body))
        .map_err(protocol)?;
    let (mut response, _driver) = send(stream, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return collect(response, MAX_BODY).await.map(Err);
    }
    hyper::upgrade::on(&mut response).await.map(Ok).map_err(protocol)
}

/// The task that drives a connection; dropping it closes the connection, whatever is still on its way.
#[derive(Debug)]
pub(crate) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks with a body that may be a stream; gives the answer once its head is there, which may be before the stream
/// has ended.
pub(crate) async fn exchange<B>(
    stream: Stream,
    method: Method,
    path: &str,
    body: B,
) -> Result<(Response<Incoming>, Driver), AgentError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let request = Request::builder().method(method).uri(path).header(HOST, "agent");
    let (mut sender, connection, allowance) = handshake(stream).await?;
    let driver = Driver(tokio::spawn(async {
        // Seen by whoever waits for the answer.
        let _ = connection.await;
    }));
    let request = request.body(body).map_err(protocol)?;
    let response = sender.send_request(request).await.map_err(protocol)?;
    allowance.lift();
    Ok((response, driver))
}

/// An exchange whose connection may become something else. It ends with the caller, at whatever point: a guest that
/// goes on would keep the connection's task busy though nobody waits any more.
async fn send(
    stream: Stream,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, Driver), AgentError> {
    let (mut sender, connection, allowance) = handshake(stream).await?;
    let driver = Driver(tokio::spawn(async {
        // Seen by whoever waits for the answer.
        let _ = connection.with_upgrades().await;
    }));
    let response = sender.send_request(request).await.map_err(protocol)?;
    allowance.lift();
    Ok((response, driver))
}

type Connection<B> = http1::Connection<TokioIo<UntilAnswered>, B>;

async fn handshake<B>(stream: Stream) -> Result<(http1::SendRequest<B>, Connection<B>, Allowance), AgentError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (stream, allowance) = UntilAnswered::new(stream, MAX_BEFORE);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(protocol)?;
    Ok((sender, connection, allowance))
}

/// The status and body of an answer. The body is copied together as it comes: kept in pieces, one that comes byte by byte
/// would take a hundred times its size.
pub(crate) async fn collect(
    response: Response<Incoming>,
    most: usize,
) -> Result<(StatusCode, Bytes), AgentError> {
    let status = response.status();
    let mut body = response.into_body();
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(protocol)?.into_data() else {
            continue;
        };
        if collected.len() + data.len() > most {
            return Err(AgentError::Protocol(format!(
                "an answer of more than {most} bytes"
            )));
        }
        collected.extend_from_slice(&data);
    }
    Ok((status, collected.freeze()))
}

/// The body of a success, or the problem that the agent states.
pub(crate) fn decode<T: DeserializeOwned>((status, body): (StatusCode, Bytes)) -> Result<T, AgentError> {
    accepted((status, body.clone()))?;
    serde_json::from_slice(&body).map_err(|error| AgentError::Protocol(format!("bad answer: {error}")))
}

/// Whether the answer is a success.
pub(crate) fn accepted((status, body): (StatusCode, Bytes)) -> Result<(), AgentError> {
    if status.is_success() {
        return Ok(());
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) if status.as_u16() >= 400 => Err(AgentError::Refused(problem)),
        _ => Err(AgentError::Protocol(format!("status {status} without a problem"))),
    }
}

fn protocol(error: impl std::error::Error) -> AgentError {
    AgentError::Protocol(error.to_string())
}
