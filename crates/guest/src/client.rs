//! The host's handle on the agent of one machine.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Method;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::forward::{Framed, Slot};
use crate::http::{self, Ask, Stream};
use crate::{
    AgentError, Boot, Clock, Configure, Exec, Forward, Grown, Health, Listeners, Power, PowerAction,
    Protocol, SetClock, Shutdown, ShuttingDown, Ssh, SshServer, Stats, UPGRADE_EXEC, UPGRADE_FORWARD,
    UPGRADE_FORWARD_FRAMED, UPGRADE_SSH, UPGRADE_SSH_FRAMED, files, link, mux, vsock,
};

/// Where the agent of a machine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Unix socket of a virtio-serial port named `banger.agent`; carries the multiplexer.
    VirtioSerial {
        /// The socket.
        socket: PathBuf,
    },
    /// Unix socket that speaks `CONNECT port`.
    Vsock {
        /// The socket.
        socket: PathBuf,
    },
}

/// Commands that a session runs at a time; more of them wait.
const MAX_COMMANDS: usize = 256;

/// Forwarded connections that a session has at a time; more of them wait. All three together stay below what the
/// multiplexer has room for.
pub(crate) const MAX_FORWARDS: usize = 512;

/// Other requests that a session has under way at a time; more of them wait. Apart from the commands, so that a
/// machine full of them can still be asked for its health and be shut down.
const MAX_REQUESTS: usize = 32;

/// Most bytes of a word that a guest says of itself: a version, a boot id, a state.
const MAX_WORD: usize = 256;

/// How long the news of a link's loss may take from its streams to its handles.
const LOSS_NEWS: Duration = Duration::from_millis(50);

/// Rest between two tries of a vsock port that nothing listens on yet.
const VSOCK_REST: Duration = Duration::from_millis(20);

/// A session with the agent of one machine. Clones are handles on the same session; it ends with the last of them
/// and of their [`AgentStream`]s.
///
/// No method has a timeout of its own: the caller drops the future when it has waited enough, and nothing stays.
#[derive(Clone, Debug)]
pub struct Agent {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Transport,
    closed: watch::Receiver<bool>,
    commands: Arc<Semaphore>,
    forwards: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    copies: Arc<Semaphore>,
    /// How many streams have begun.
    begun: AtomicU64,
}

/// How much a session is used: the streams of commands, of forwarded connections and of copies. Questions of the
/// host's own, such as for the guest's health, do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Streams that are open.
    pub open: usize,
    /// Streams that have begun since the session was opened.
    pub begun: u64,
}

#[derive(Debug)]
enum Transport {
    Mux(mpsc::Sender<mux::StreamRequest>),
    Vsock {
        socket: PathBuf,
        /// Dropped with the session; ends the watch over the guest's life.
        _watch: oneshot::Sender<()>,
    },
}

impl Agent {
    /// Opens a session. Waits for as long as the machine is there and its agent is not, as in a guest that boots.
    ///
    /// # Errors
    /// [`AgentError::Unreachable`] when nobody listens on the channel's socket, [`AgentError::Protocol`] when what
    /// listens there is no VMM.
    pub async fn connect(channel: &Channel) -> Result<Self, AgentError> {
        let (lost, closed) = watch::channel(false);
        let transport = match channel {
            Channel::VirtioSerial { socket } => {
                let session = link::connect(socket)
                    .await
                    .map_err(|source| unreachable(socket, source))?;
                let (requests, receiver) = mpsc::channel(16);
                tokio::spawn(mux::drive_host(session, receiver, lost));
                Transport::Mux(requests)
            }
            Channel::Vsock { socket } => {
                let stream = connect_when_listening(socket).await?;
                let (watch, dropped) = oneshot::channel();
                tokio::spawn(watch_guest(stream, dropped, lost));
                Transport::Vsock {
                    socket: socket.clone(),
                    _watch: watch,
                }
            }
        };
        let commands = Arc::new(Semaphore::new(MAX_COMMANDS));
        let forwards = Arc::new(Semaphore::new(MAX_FORWARDS));
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        Ok(Self {
            inner: Arc::new(Inner {
                transport,
                closed,
                commands,
                forwards,
                requests,
                copies: files::copies(),
                begun: AtomicU64::new(0),
            }),
        })
    }

    /// Counts a stream that begins.
    pub(crate) fn count(&self) {
        self.inner.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// How much this session is used.
    #[must_use]
    pub fn activity(&self) -> Activity {
        let Inner {
            commands,
            forwards,
            copies,
            begun,
            ..
        } = &*self.inner;
        let taken = |semaphore: &Semaphore, of| of - semaphore.available_permits();
        Activity {
            open: taken(commands, MAX_COMMANDS)
                + taken(forwards, MAX_FORWARDS)
                + taken(copies, files::MAX_COPIES),
            begun: begun.load(Ordering::Relaxed),
        }
    }

    /// Ends when the link is lost: the machine has ended, or another session has taken the channel. At once if it is
    /// lost already.
    pub async fn closed(&self) {
        // An error means that the task that watches is gone, and the link with it.
        let _ = self.inner.closed.clone().wait_for(|closed| *closed).await;
    }

    /// `GET /v1/health`.
    ///
    /// # Errors
    /// [`AgentError`] when the link or the agent fails.
    pub async fn health(&self) -> Result<Health, AgentError> {
        let health: Health = http::decode(self.ask(Ask::plain(Method::GET, "/v1/health")).await?)?;
        // Both are kept, shown and stored.
        for (what, text) in [("version", &health.version), ("boot id", &health.boot_id)] {
            if text.len() > MAX_WORD {
                return Err(AgentError::Protocol(format!("a {what} of {} bytes", text.len())));
            }
        }
        Ok(health)
    }

    /// `GET /v1/ports`: what listens in the guest.
    ///
    /// # Errors
    /// [`AgentError`] when the link or the agent fails.
    pub async fn ports(&self) -> Result<Listeners, AgentError> {
        http::decode(self.ask(Ask::list(Method::GET, "/v1/ports")).await?)
    }

    /// `PUT /v1/configure`: gives the guest its identity.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when the agent could not carry it out, others when the link fails.
    pub async fn configure(&self, configure: &Configure) -> Result<(), AgentError> {
        http::accepted(
            self.ask(Ask::json(Method::PUT, "/v1/configure", configure)?)
                .await?,
        )
    }

    /// `POST /v1/power`. Returns once the agent has taken it on; the machine's end is seen at the VMM.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when the agent cannot do it. With any other it may have begun all the same.
    pub async fn power(&self, action: PowerAction) -> Result<(), AgentError> {
        http::accepted(
            self.ask(Ask::json(Method::POST, "/v1/power", &Power { action })?)
                .await?,
        )
    }

    /// `GET /v1/shutdown`: waits until the guest has written everything out and is about to end its machine, and gives
    /// what it is about to do.
    ///
    /// # Errors
    /// [`AgentError::Refused`] by an agent that does not know the request, others when the link fails.
    pub async fn shutdown(&self) -> Result<Shutdown, AgentError> {
        // It is asked for as long as the guest runs, and takes no other request's place.
        let stream = self.open().await?;
        let ask = Ask::plain(Method::GET, "/v1/shutdown");
        let told: ShuttingDown = http::decode(self.unless_closed(http::ask(stream, ask)).await?)?;
        Ok(told.how)
    }

    /// `POST /v1/shutdown`: the guest need not wait any longer for the host to know.
    ///
    /// # Errors
    /// [`AgentError`] when the link or the agent fails, or the guest is gone already.
    pub async fn saw_shutdown(&self) -> Result<(), AgentError> {
        http::accepted(self.ask(Ask::plain(Method::POST, "/v1/shutdown")).await?)
    }

    /// `GET /v1/clock`.
    ///
    /// # Errors
    /// [`AgentError::Refused`] by an agent that does not know the request, others when the link or the agent fails.
    pub async fn clock(&self) -> Result<Clock, AgentError> {
        http::decode(self.ask(Ask::plain(Method::GET, "/v1/clock")).await?)
    }

    /// `PUT /v1/clock`: moves the guest's wall clock.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when the agent could not, others when the link or the agent fails.
    pub async fn set_clock(&self, set: &SetClock) -> Result<(), AgentError> {
        http::accepted(self.ask(Ask::json(Method::PUT, "/v1/clock", set)?).await?)
    }

    /// `POST /v1/disk/grow`: lets the writable layer's file system grow into a disk that has become larger.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when it could not, others when the link fails.
    pub async fn grow_disk(&self) -> Result<Grown, AgentError> {
        http::decode(self.ask(Ask::plain(Method::POST, "/v1/disk/grow")).await?)
    }

    /// `GET /v1/stats`.
    ///
    /// # Errors
    /// [`AgentError`] when the link or the agent fails.
    pub async fn stats(&self) -> Result<Stats, AgentError> {
        http::decode(self.ask(Ask::plain(Method::GET, "/v1/stats")).await?)
    }

    /// `GET /v1/boot`: waits until the image's init has finished booting.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when the agent cannot tell, others when the link fails.
    pub async fn boot(&self) -> Result<Boot, AgentError> {
        // It takes as long as a command may, and must not stand in the way of short requests.
        let _permit = permit(&self.inner.commands).await?;
        let ask = Ask::plain(Method::GET, "/v1/boot");
        let stream = self.open().await?;
        let boot: Boot = http::decode(self.unless_closed(http::ask(stream, ask)).await?)?;
        match boot.state.len() {
            0..=MAX_WORD => Ok(boot),
            length => Err(AgentError::Protocol(format!("a state of {length} bytes"))),
        }
    }

    /// `POST /v1/exec`: starts a command. Dropping the stream hangs up on it.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when the command cannot be started, others when the link fails.
    pub async fn exec(&self, exec: &Exec) -> Result<ExecStream, AgentError> {
        let permit = permit(&self.inner.commands).await?;
        let ask = Ask::json(Method::POST, "/v1/exec", exec)?;
        self.upgrade(ask, UPGRADE_EXEC, permit).await
    }

    /// `POST /v1/forward`: connects to a port that the guest can reach. The stream carries what is said there: bytes
    /// as they are, each half closed on its own, or [`crate::forward::datagram`]s.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when the port cannot be connected to, others when the link fails.
    pub async fn forward(&self, forward: &Forward) -> Result<AgentStream, AgentError> {
        let permit = permit(&self.inner.forwards).await?;
        let ask = Ask::json(Method::POST, "/v1/forward", forward)?;
        match forward.protocol {
            Protocol::Tcp => {
                self.upgrade_by_halves(ask, [UPGRADE_FORWARD, UPGRADE_FORWARD_FRAMED], permit)
                    .await
            }
            Protocol::Udp => self.upgrade(ask, UPGRADE_FORWARD, permit).await,
        }
    }

    /// `GET /v1/ssh`: whether [`Agent::ssh`] would find an sshd.
    ///
    /// # Errors
    /// [`AgentError`] when the link or the agent fails.
    pub async fn ssh_server(&self) -> Result<SshServer, AgentError> {
        http::decode(self.ask(Ask::plain(Method::GET, "/v1/ssh")).await?)
    }

    /// `POST /v1/ssh`: connects to the guest's sshd. The stream carries the SSH protocol, each half closed on its
    /// own.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when the guest has no sshd or it does not start, others when the link fails.
    pub async fn ssh(&self, ssh: &Ssh) -> Result<AgentStream, AgentError> {
        let permit = permit(&self.inner.commands).await?;
        let ask = Ask::json(Method::POST, "/v1/ssh", ssh)?;
        self.upgrade_by_halves(ask, [UPGRADE_SSH, UPGRADE_SSH_FRAMED], permit)
            .await
    }

    /// To a stream whose directions end each by itself: framed where the channel's own end as a whole.
    async fn upgrade_by_halves(
        &self,
        ask: Ask,
        [plain, framed]: [&'static str; 2],
        permit: OwnedSemaphorePermit,
    ) -> Result<AgentStream, AgentError> {
        match &self.inner.transport {
            Transport::Mux(_) => self.upgrade(ask, plain, permit).await,
            Transport::Vsock { .. } => {
                let stream = self.upgrade(ask, framed, permit).await?;
                let io = Box::new(Framed::new(stream.io));
                Ok(AgentStream { io, ..stream })
            }
        }
    }

    async fn upgrade(
        &self,
        ask: Ask,
        protocol: &'static str,
        permit: OwnedSemaphorePermit,
    ) -> Result<AgentStream, AgentError> {
        self.count();
        let stream = self.open().await?;
        match self.unless_closed(http::upgrade(stream, ask, protocol)).await? {
            Ok(upgraded) => Ok(AgentStream {
                io: Box::new(TokioIo::new(upgraded)),
                _permit: permit,
                _slot: None,
                _agent: self.clone(),
            }),
            Err(answer) => {
                let status = answer.0;
                http::accepted(answer)?;
                Err(AgentError::Protocol(format!(
                    "status {status} in answer to an upgrade"
                )))
            }
        }
    }

    async fn ask(&self, ask: Ask) -> Result<(hyper::StatusCode, bytes::Bytes), AgentError> {
        let _permit = permit(&self.inner.requests).await?;
        let stream = self.open().await?;
        self.unless_closed(http::ask(stream, ask)).await
    }

    /// Copies under way.
    pub(crate) fn copies(&self) -> &Arc<Semaphore> {
        &self.inner.copies
    }

    pub(crate) async fn open(&self) -> Result<Stream, AgentError> {
        match &self.inner.transport {
            Transport::Mux(requests) => {
                let (request, stream) = oneshot::channel();
                requests.send(request).await.map_err(|_| AgentError::Closed)?;
                Ok(Box::new(stream.await.map_err(|_| AgentError::Closed)?.compat()))
            }
            Transport::Vsock { socket, .. } => match vsock::connect(socket).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(vsock::Refusal::NoMachine(_) | vsock::Refusal::NoListener) => Err(AgentError::Closed),
                Err(vsock::Refusal::Nonsense) => Err(no_vmm()),
            },
        }
    }

    /// An exchange that breaks because the link was lost says so.
    pub(crate) async fn unless_closed<T>(
        &self,
        exchange: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        tokio::select! {
            biased;
            result = exchange => match result {
                // The streams of a link learn of its loss a moment before its handles do.
                Err(AgentError::Protocol(_)) if timeout(LOSS_NEWS, self.closed()).await.is_ok() => {
                    Err(AgentError::Closed)
                }
                result => result,
            },
            () = self.closed() => Err(AgentError::Closed),
        }
    }
}

async fn permit(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, AgentError> {
    Arc::clone(semaphore)
        .acquire_owned()
        .await
        .map_err(|_| AgentError::Closed)
}

fn unreachable(socket: &Path, source: io::Error) -> AgentError {
    AgentError::Unreachable {
        socket: socket.to_owned(),
        source,
    }
}

fn no_vmm() -> AgentError {
    AgentError::Protocol("no `OK` in answer to `CONNECT`".to_owned())
}

async fn connect_when_listening(socket: &Path) -> Result<UnixStream, AgentError> {
    loop {
        match vsock::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(vsock::Refusal::NoMachine(source)) => return Err(unreachable(socket, source)),
            Err(vsock::Refusal::Nonsense) => return Err(no_vmm()),
            Err(vsock::Refusal::NoListener) => sleep(VSOCK_REST).await,
        }
    }
}

/// Holds a connection that nothing is asked on: its end is the guest's.
async fn watch_guest(mut stream: UnixStream, dropped: oneshot::Receiver<()>, lost: watch::Sender<bool>) {
    let mut byte = [0];
    tokio::select! {
        // The agent has nothing to say here; whatever comes is the end.
        _ = stream.read(&mut byte) => {}
        _ = dropped => {}
    }
    lost.send_replace(true);
}

/// The two-way stream of a command: [`crate::frames`] both ways. Dropping it, or ending its writing half, hangs up.
pub type ExecStream = AgentStream;

/// The two-way stream that a request has become.
#[derive(Debug)]
pub struct AgentStream {
    io: Stream,
    _permit: OwnedSemaphorePermit,
    _slot: Option<Slot>,
    /// The session lives as long as its streams.
    _agent: Agent,
}

impl AgentStream {
    /// The same, which holds a slot for as long as it is open.
    #[must_use]
    pub fn holding(self, slot: Slot) -> Self {
        Self {
            _slot: Some(slot),
            ..self
        }
    }
}

impl AsyncRead for AgentStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for AgentStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
