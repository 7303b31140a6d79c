//! The daemon from its start to its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::client::FolderError;
use config::{CertificateError, ConfigError, Paths, PathsError};
use engine::faults::Faults;
use engine::{
    Configured, Defaults, Doctor, Engine, EngineError, Machines, Networks, Parts, Sources, Timeouts,
};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use store::StoreError;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Announcement;
use crate::idle::{Connections, until_idle};
use crate::lock::{Turn, take_turn};
use crate::outdated::{Asking, Question, is_outdated};
use crate::peer;
use crate::presence::Presence;
use crate::routes::{self, App};
use crate::socket::Socket;

/// How often the daemon looks whether its socket is still there.
const SOCKET_CHECK: Duration = Duration::from_secs(2);
/// How long requests may go on after the daemon was told to end.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// What a daemon works with.
#[derive(Debug)]
pub struct Surroundings {
    /// Where everything lies; prepared.
    pub paths: Paths,
    /// The agent's binary.
    pub agent: PathBuf,
    /// Where kernels and images come from.
    pub sources: Arc<dyn Sources>,
    /// What machines run on.
    pub machines: Arc<dyn Machines>,
    /// Named points that tests arm.
    pub faults: Arc<dyn Faults>,
    /// How long to wait for guests.
    pub timeouts: Timeouts,
    /// How VMs get their networks.
    pub networks: Networks,
    /// Reads `machines` and `networks` again at each start; the values above stay if `None`.
    pub configured: Option<Arc<dyn Configured>>,
    /// Certificate authorities that guests shall trust, PEM.
    pub ca_certificates: Option<String>,
    /// Servers that are asked before registries.
    pub registry_mirrors: config::RegistryMirrors,
    /// Bytes to leave free on the disk, if not the default.
    pub free_space_reserve: Option<u64>,
    /// Shape of a VM that says nothing else.
    pub defaults: Defaults,
    /// How long the daemon stays when nobody needs it.
    pub idle_timeout: Duration,
    /// The owner.
    pub uid: u32,
}

/// The daemon.
#[derive(Debug)]
pub struct Daemon;

impl Daemon {
    /// Runs until a signal comes or nobody has needed the daemon for a while. Returns at once where another daemon
    /// has this state directory.
    ///
    /// # Errors
    /// The daemon cannot start: [`DaemonError`] says why.
    pub async fn run(surroundings: Surroundings, announce: bool) -> Result<(), DaemonError> {
        let announcement = Announcement::new(announce);
        let _lock = match take_turn(&surroundings.paths).await? {
            Turn::Ours(lock) => lock,
            Turn::Other(socket) => return announcement.ready(&socket).map_err(DaemonError::Announce),
        };
        let paths = surroundings.paths.clone();
        let doctor = Doctor {
            paths: paths.clone(),
            agent: surroundings.agent.clone(),
            machines: Arc::clone(&surroundings.machines),
            networks: surroundings.networks.clone(),
            configured: surroundings.configured.clone(),
            default_image: surroundings.defaults.image.clone(),
        };
        let engine = Engine::open(Parts {
            paths: paths.clone(),
            agent: surroundings.agent,
            sources: surroundings.sources,
            machines: surroundings.machines,
            faults: surroundings.faults,
            timeouts: surroundings.timeouts,
            networks: surroundings.networks,
            configured: surroundings.configured,
            ca_certificates: surroundings.ca_certificates,
            registry_mirrors: surroundings.registry_mirrors,
            free_space_reserve: surroundings.free_space_reserve,
            defaults: surroundings.defaults,
        })
        .await
        .map_err(DaemonError::Engine)?;
        // One that was started by hand no client would replace.
        let unread = doctor
            .configured
            .clone()
            .filter(|configured| announce && configured.unread().is_some());
        let app = App {
            engine: engine.clone(),
            paths: paths.clone(),
            doctor,
            ending: CancellationToken::new(),
        };
        let ending = app.ending.clone();
        let mut socket = Socket::bind(&paths)?;
        tracing::info!(socket = %paths.socket().display(), version = env!("CARGO_PKG_VERSION"), "ready");
        announcement
            .ready(&paths.socket())
            .map_err(DaemonError::Announce)?;
        let connections = Connections::default();
        let (asking, mut questions) = Asking::new();
        let server = Server {
            app,
            connections: connections.clone(),
            owner: surroundings.uid,
            asking: unread.is_some().then_some(asking),
            unread,
        };
        let mut signals = Signals::listen()?;
        loop {
            tokio::select! {
                signal = signals.told_to_end() => {
                    tracing::info!(signal, "told to end; VMs go on");
                    break;
                }
                () = until_idle(&engine, &connections, surroundings.idle_timeout) => {
                    socket.remove(&paths);
                    // Whoever connected in this very moment is still served.
                    match tokio::time::timeout(Duration::from_millis(50), socket.listener.accept()).await {
                        Ok(Ok((stream, _))) => {
                            socket = Socket::bind(&paths)?;
                            server.serve(stream);
                        }
                        _ => {
                            tracing::info!("nobody needs the daemon; it ends");
                            break;
                        }
                    }
                }
                ended = server.accept_all(&socket, &mut questions) => match ended {
                    Accepting::SocketGone => {
                        tracing::warn!("the socket is gone; binding anew");
                        socket = Socket::bind(&paths)?;
                    }
                    Accepting::Outdated => {
                        tracing::info!("the configuration can be read again; the next daemon goes by it");
                        break;
                    }
                }
            }
        }
        socket.remove(&paths);
        ending.cancel();
        connections.wait_for_none(LAST_REQUESTS).await;
        Ok(())
    }
}

/// Serves connections.
struct Server {
    app: App,
    connections: Connections,
    owner: u32,
    /// The configuration, where a client started this daemon and it goes by defaults since it could not read that.
    unread: Option<Arc<dyn Configured>>,
    /// Where connections ask whether it makes way, in that case.
    asking: Option<Asking>,
}

/// Why no more connections are accepted.
enum Accepting {
    /// The socket's path leads here no more.
    SocketGone,
    /// This daemon makes way for the next.
    Outdated,
}

impl Server {
    /// Accepts as long as that makes sense.
    async fn accept_all(&self, socket: &Socket, questions: &mut mpsc::Receiver<Question>) -> Accepting {
        let mut check = tokio::time::interval(SOCKET_CHECK);
        loop {
            tokio::select! {
                accepted = socket.listener.accept() => match accepted {
                    Ok((stream, _)) => self.serve(stream),
                    Err(error) => {
                        // Out of descriptors, most likely: the next try may fare better.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(Question { pid, answer }) = questions.recv() => {
                    let engine = &self.app.engine;
                    let ends = is_outdated(self.unread.as_ref(), &self.connections, engine, pid).await;
                    // A client that left meanwhile does not start the next daemon.
                    if answer.send(ends).is_ok() && ends {
                        return Accepting::Outdated;
                    }
                }
                _ = check.tick() => if !socket.is_there() { return Accepting::SocketGone },
            }
        }
    }

    fn serve(&self, stream: UnixStream) {
        if !peer::is_allowed(&stream, self.owner) {
            return;
        }
        let presence = match Presence::of(&stream) {
            Ok(presence) => presence,
            Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
        };
        // Of another pid namespace: no number here.
        let pid = stream
            .peer_cred()
            .ok()
            .and_then(|peer| peer.pid())
            .filter(|pid| *pid > 0);
        let open = self.connections.open(pid);
        let routes = TowerToHyperService::new(routes::router(self.app.clone()));
        let asking = self.asking.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (routes, asking) = (routes.clone(), asking.clone());
            let asking = asking.filter(|_| request.headers().contains_key(api::STARTS_THE_NEXT));
            async move {
                if let Some(asking) = asking
                    && asking.ends_for(pid).await
                {
                    return Err(io::Error::other("this daemon makes way for the next"));
                }
                routes.call(request).await.map_err(|never| match never {})
            }
        });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::select! {
                // What came before the client left is taken up first, as far as it is there.
                biased;
                served = connection => if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended early");
                },
                () = presence.ended() => tracing::debug!("a client left"),
            }
            drop(open);
        });
    }
}

/// The signals that end the daemon. One stream of each for its whole life: a signal between two streams is heard by none.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, DaemonError> {
        let listen = |kind| signal(kind).map_err(DaemonError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn told_to_end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Signals cannot be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(#[source] io::Error),
    /// The folders cannot be used.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// Others could put a socket of theirs where the daemon is to listen.
    #[error("cannot listen: {0}")]
    Folder(#[source] FolderError),
    /// Others could choose which folders the daemon keeps its files in.
    #[error("cannot keep files there: {0}")]
    Way(#[source] FolderError),
    /// The configuration file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate file is wrong.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The store cannot be looked at.
    #[error(transparent)]
    Store(StoreError),
    /// The engine cannot be opened.
    #[error(transparent)]
    Engine(EngineError),
    /// A file could not be used.
    #[error("cannot {action} {path}")]
    File {
        /// A verb: open, bind, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another daemon holds the lock and does not answer.
    #[error("another daemon holds {lock} and has not answered for {} s", .waited.as_secs())]
    Locked {
        /// The lock.
        lock: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// Nobody can be told that the daemon is ready.
    #[error("cannot write to standard output")]
    Announce(#[source] io::Error),
    /// No threads.
    #[error("cannot start threads")]
    Runtime(#[source] io::Error),
    /// The path of this binary is unknown.
    #[error("cannot find the path of bangerd")]
    OwnPath(#[source] io::Error),
    /// A logger is there already.
    #[error("a logger runs already")]
    Logger,
}

impl DaemonError {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// The failure and its causes in one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        engine::one_line(self)
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Paths(error) => error.hint(),
            Self::Way(_) => {
                Some("HOME, XDG_STATE_HOME and XDG_CACHE_HOME are to be your own: for root, sudo -H".into())
            }
            Self::Folder(_) => Some("set XDG_RUNTIME_DIR to a folder of your own".into()),
            Self::Config(error) => error.hint(),
            Self::Store(error) | Self::Engine(EngineError::Store(error)) => error.hint(),
            Self::Engine(error) => error.to_api().hint,
            Self::Locked { .. } => Some("end it, or wait for it to end".into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_while_nothing_waits_for_one_is_heard() {
        let mut signals = Signals::listen().unwrap();
        for _ in 0..2 {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            let told = tokio::time::timeout(Duration::from_secs(20), signals.told_to_end());
            assert_eq!(told.await, Ok("SIGTERM"));
        }
    }
}
