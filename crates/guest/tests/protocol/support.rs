//! An agent that does what a test wants, behind a real Unix socket.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use guest::link::{Port, Session};
use guest::{Channel, Exec, Health, mux};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_util::compat::FuturesAsyncReadCompatExt;

/// A command's stream, on the agent's end.
pub type Command = TokioIo<Upgraded>;

/// The boot id that the agent gives.
pub const BOOT_ID: &str = "2b7c1f0a-8f0e-4a55-9d3b-6a1c9f0e7d21";

/// What an exec with no argument asks for.
pub fn exec() -> Exec {
    Exec {
        argv: vec!["command".into()],
        ..Exec::default()
    }
}

/// A folder with a socket's path in it.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    pub fn port(&self) -> Channel {
        Channel::VirtioSerial {
            socket: self.socket(),
        }
    }

    pub fn vsock(&self) -> Channel {
        Channel::Vsock {
            socket: self.socket(),
        }
    }
}

/// Listens as a VMM with a port, whose guest's agent hands each command's stream to the test.
pub fn agent_on_port(socket: &Path) -> mpsc::UnboundedReceiver<Command> {
    let listener = UnixListener::bind(socket).unwrap();
    let (commands, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut port = Port::new(stream);
            while let Ok(Some(session)) = port.accept().await {
                serve_session(session, commands.clone()).await;
            }
        }
    });
    receiver
}

/// Listens as a VMM with vsock.
pub fn agent_on_vsock(socket: &Path) -> mpsc::UnboundedReceiver<Command> {
    let listener = UnixListener::bind(socket).unwrap();
    let (commands, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let commands = commands.clone();
            tokio::spawn(async move {
                let mut line = [0; 14];
                stream.read_exact(&mut line).await.unwrap();
                assert_eq!(&line, b"CONNECT 42070\n");
                stream.write_all(b"OK 7\n").await.unwrap();
                serve(stream, commands).await;
            });
        }
    });
    receiver
}

/// All exchanges of a session.
pub async fn serve_session<T>(session: Session<T>, commands: mpsc::UnboundedSender<Command>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    mux::serve(session, |stream| {
        tokio::spawn(serve(stream.compat(), commands.clone()));
    })
    .await;
}

/// One exchange: health, or an upgrade whose stream goes to the test.
pub async fn serve<S>(stream: S, commands: mpsc::UnboundedSender<Command>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| answer(request, commands.clone()));
    let _ = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

async fn answer(
    mut request: Request<Incoming>,
    commands: mpsc::UnboundedSender<Command>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.headers().contains_key(UPGRADE) {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(stream) = upgrade.await {
                let _ = commands.send(TokioIo::new(stream));
            }
        });
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, guest::UPGRADE_EXEC);
        return Ok(response.body(Full::default()).unwrap());
    }
    let health = Health {
        generation: guest::GENERATION,
        version: "1.2.3".into(),
        boot_id: BOOT_ID.into(),
        uptime_ms: 5,
        configured: true,
    };
    Ok(Response::new(Full::new(
        serde_json::to_vec(&health).unwrap().into(),
    )))
}

/// A counter that a task adds to and a test looks at.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<std::sync::atomic::AtomicU64>);

impl Counter {
    pub fn add(&self, count: usize) {
        self.0
            .fetch_add(count as u64, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn get(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}
