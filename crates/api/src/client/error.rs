//! What can go wrong between a client and the daemon.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::FolderError;
use crate::ApiError;

/// Why a call has no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at the socket.
    #[error("cannot reach the daemon at {socket}: {source}")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The listener is another user's, who would see whatever is sent.
    #[error("the daemon at {socket} belongs to uid {owner}: nothing was sent to it")]
    ForeignDaemon {
        /// The socket.
        socket: PathBuf,
        /// The listener's uid.
        owner: u32,
    },
    /// Others could put a socket of theirs at this path.
    #[error("the socket {socket} is not trusted: {fault}")]
    UnsafeFolder {
        /// The socket.
        socket: PathBuf,
        /// The folder at fault.
        #[source]
        fault: FolderError,
    },
    /// The daemon answered that it failed or refuses.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The connection broke before the answer was whole.
    #[error("the daemon closed the connection")]
    Broke(#[source] hyper::Error),
    /// The daemon took the connection and said nothing.
    #[error("the daemon did not answer within {waited:?}")]
    Silent {
        /// How long the client waited.
        waited: Duration,
    },
    /// The answer is longer than any that a daemon has reason to give.
    #[error("the daemon's answer is longer than {limit} bytes")]
    TooLong {
        /// What is allowed.
        limit: usize,
    },
    /// The answer is none that this client understands.
    #[error("the daemon's answer makes no sense: {0}")]
    Protocol(String),
}

impl ClientError {
    /// Whether a socket was refused for whose it is.
    #[must_use]
    pub fn is_distrust(&self) -> bool {
        matches!(self, Self::ForeignDaemon { .. } | Self::UnsafeFolder { .. })
    }

    /// The daemon's own account of the failure, if it gave one.
    #[must_use]
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }
}
