//! Finding the daemon, and starting the user's own where it is missing.
//!
//! ```text
//! --socket, else BANGER_SOCKET ──► that one; never started
//! else <state>/bangerd.json    ──► the socket it names, if a daemon answers there
//! else                         ──► `bangerd --announce`, then the socket it announces
//! ```
//!
//! On each of these ways folder and listener are checked at each connection: `api::client::Trust`.

mod announced;
mod binary;
mod session;
mod start;
mod stop;

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::Version;
use api::client::{Client, ClientError};
use config::{Environment, Paths, PathsError};

use crate::failure::Failure;
use crate::render;
pub use stop::Stopped;

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a daemon that is there may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the daemon is to be found.
pub enum Place {
    /// At a socket that the user named.
    Fixed(PathBuf),
    /// Where the user's own directories say.
    Personal(Box<Paths>),
}

impl Place {
    /// By flag, variable, or the user's directories.
    ///
    /// # Errors
    /// No home directory.
    pub fn of(socket: Option<PathBuf>) -> Result<Self, Failure> {
        let environment = Environment::of_process();
        if let Some(socket) = socket.or_else(|| environment.variable("BANGER_SOCKET").map(PathBuf::from)) {
            return Ok(Self::Fixed(socket));
        }
        let paths = Paths::personal(&environment).map_err(|error| paths_failure(&error))?;
        Ok(Self::Personal(Box::new(paths)))
    }

    /// The daemon, if one is running.
    ///
    /// # Errors
    /// The listener gives no sensible answer, or is not trusted.
    pub async fn running(&self) -> Result<Option<(Client, Version)>, Failure> {
        match self.known_socket()? {
            Some(socket) => Ok(find(greet(socket)).await?),
            None => Ok(None),
        }
    }

    /// Where a daemon listens, if there is any sign of one.
    fn known_socket(&self) -> Result<Option<PathBuf>, Failure> {
        match self {
            Self::Fixed(socket) => Ok(Some(socket.clone())),
            Self::Personal(paths) => announced::socket(paths),
        }
    }

    /// Where the daemon listens, or would listen if it were started.
    ///
    /// # Errors
    /// The state folder is not the user's own.
    pub fn socket(&self) -> Result<PathBuf, Failure> {
        Ok(self.known_socket()?.unwrap_or_else(|| match self {
            Self::Fixed(socket) => socket.clone(),
            Self::Personal(paths) => paths.socket(),
        }))
    }

    /// Ends the daemon, if one is running, and waits until it is gone.
    ///
    /// # Errors
    /// It does not answer, or does not end.
    pub async fn stop(&self) -> Result<Stopped, Failure> {
        match self.known_socket()? {
            Some(socket) => stop::stop(&socket).await,
            None => Ok(Stopped::Before),
        }
    }

    /// The daemon, started if need be.
    ///
    /// # Errors
    /// It does not answer, or cannot be started.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let (client, version) = self.connect_unchecked().await?;
        if version.version != VERSION {
            render::warning(&skew(&version));
        }
        Ok(client)
    }

    /// As [`Self::connect`], without a word about another version.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_unchecked(&self) -> Result<(Client, Version), Failure> {
        if let Some(socket) = self.known_socket()? {
            let found = match self {
                Self::Fixed(_) => find(greet(socket.clone())).await,
                Self::Personal(_) => find(greet_or_end(socket.clone())).await,
            };
            match found {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                // Left over from a daemon that is gone, and another user's by now: the next daemon listens elsewhere.
                Err(error) if error.is_distrust() && self.would_listen_elsewhere(&socket) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self {
            Self::Fixed(socket) => greet(socket.clone()).await.map_err(|error| {
                Failure::from(error).with_hint(
                    "a daemon named by --socket or BANGER_SOCKET is never started: start it, or leave that out",
                )
            }),
            Self::Personal(paths) => Ok(greet(start::start(paths).await?).await?),
        }
    }

    fn would_listen_elsewhere(&self, socket: &Path) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Personal(paths) => paths.socket() != socket,
        }
    }
}

/// The daemon that was greeted, unless there is none.
async fn find(
    greeting: impl Future<Output = Result<(Client, Version), ClientError>>,
) -> Result<Option<(Client, Version)>, ClientError> {
    match greeting.await {
        Ok(found) => Ok(Some(found)),
        // A daemon that ends at this very moment closes the connection without an answer.
        Err(ClientError::Unreachable { .. } | ClientError::Broke(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn paths_failure(error: &PathsError) -> Failure {
    let failure = Failure::new(format!("cannot find the daemon: {error}"));
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Asks a daemon for its version, and keeps it from ending meanwhile and afterwards.
async fn greet(socket: PathBuf) -> Result<(Client, Version), ClientError> {
    let client = Client::new(socket).hold().await?;
    let version = client.clone().with_patience(PATIENCE).version().await?;
    Ok((client, version))
}

/// The same, by a client that starts the next daemon where this one ends.
async fn greet_or_end(socket: PathBuf) -> Result<(Client, Version), ClientError> {
    let client = Client::new(socket).hold().await?;
    let version = client.clone().with_patience(PATIENCE).version_or_end().await?;
    Ok((client, version))
}

/// Said when client and daemon are of different versions.
pub fn skew(daemon: &Version) -> String {
    format!(
        "the daemon is version {}, this is {VERSION}: it is replaced once no VM runs and it has ended",
        daemon.version
    )
}
