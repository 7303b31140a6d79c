//! Finding the daemon, and starting the user's own where it is missing.
//!
//! ```text
//! --socket, else BANGER_SOCKET ──► that one; never started
//! else <state>/bangerd.json    ──► the socket it names, if somebody answers there
//! else                         ──► `bangerd --announce`, then the socket it announces
//! ```

mod binary;
mod session;
mod start;
mod stop;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::Version;
use api::client::{Client, ClientError};
use config::{Environment, Paths};
use serde::Deserialize;

use crate::failure::Failure;
use crate::render;
pub use stop::Stopped;

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a daemon that is there may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest daemon file.
const LARGEST_FILE: u64 = 64 << 10;

/// Where the daemon is to be found.
pub enum Place {
    /// At a socket that the user named.
    Fixed(PathBuf),
    /// Where the user's own directories say.
    Personal(Box<Paths>),
}

/// What `bangerd` leaves beside its state.
#[derive(Deserialize)]
struct DaemonFile {
    socket: PathBuf,
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
        let paths = Paths::personal(&environment).map_err(|error| {
            let failure = Failure::new(format!("cannot find the daemon: {error}"));
            match error.hint() {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            }
        })?;
        Ok(Self::Personal(Box::new(paths)))
    }

    /// The daemon, if one is running.
    ///
    /// # Errors
    /// Somebody listens there and gives no sensible answer.
    pub async fn running(&self) -> Result<Option<(Client, Version)>, Failure> {
        let Some(socket) = self.known_socket() else {
            return Ok(None);
        };
        match greet(socket).await {
            Ok(found) => Ok(Some(found)),
            // A daemon that ends at this very moment closes the connection without an answer.
            Err(ClientError::Unreachable { .. } | ClientError::Broke(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Where a daemon listens, if there is any sign of one.
    fn known_socket(&self) -> Option<PathBuf> {
        match self {
            Self::Fixed(socket) => Some(socket.clone()),
            Self::Personal(paths) => socket_in(&paths.daemon_file()),
        }
    }

    /// Where the daemon listens, or would listen if it were started.
    pub fn socket(&self) -> PathBuf {
        self.known_socket().unwrap_or_else(|| match self {
            Self::Fixed(socket) => socket.clone(),
            Self::Personal(paths) => paths.socket(),
        })
    }

    /// Ends the daemon, if one is running, and waits until it is gone.
    ///
    /// # Errors
    /// It does not answer, or does not end.
    pub async fn stop(&self) -> Result<Stopped, Failure> {
        match self.known_socket() {
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
        if let Some(found) = self.running().await? {
            return Ok(found);
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
}

/// Asks for the version of whoever listens there, and keeps it from ending meanwhile and afterwards.
async fn greet(socket: PathBuf) -> Result<(Client, Version), ClientError> {
    let client = Client::new(socket).hold().await?;
    let version = client.clone().with_patience(PATIENCE).version().await?;
    Ok((client, version))
}

/// Said when client and daemon are of different versions.
pub fn skew(daemon: &Version) -> String {
    format!(
        "the daemon is version {}, this is {VERSION}: it is replaced once no VM runs and it has ended",
        daemon.version
    )
}

/// The socket that the daemon's file names. No file, or one that makes no sense, means no daemon.
fn socket_in(file: &Path) -> Option<PathBuf> {
    let mut text = String::new();
    File::open(file)
        .ok()?
        .take(LARGEST_FILE)
        .read_to_string(&mut text)
        .ok()?;
    let file: DaemonFile = serde_json::from_str(&text).ok()?;
    file.socket.is_absolute().then_some(file.socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_file_that_makes_no_sense_means_no_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bangerd.json");
        assert_eq!(socket_in(&file), None);
        for (text, socket) in [
            ("", None),
            ("{\"pid\": 1}", None),
            ("{\"pid\": 1, \"socket\": \"relative\"}", None),
            (
                "{\"pid\": 1, \"socket\": \"/run/x.sock\", \"more\": true}",
                Some("/run/x.sock"),
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(socket_in(&file), socket.map(PathBuf::from), "{text}");
        }
    }
}
