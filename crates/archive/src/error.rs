//! What can go wrong while a tree is packed or unpacked.

use std::io;

/// Why a copy did not come about, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The system refused something about a file.
    #[error("cannot {action} `{path}`")]
    File {
        /// A verb: read, write, …
        action: &'static str,
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A path or an entry that is against the rules.
    #[error("`{path}` {why}")]
    Refused {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The stream is no archive.
    #[error("the archive is broken after `{after}`: {what}")]
    Malformed {
        /// The last entry that was sound; empty if there was none.
        after: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The stream ended or failed before the archive was whole.
    #[error("the stream broke off after `{after}`")]
    Stream {
        /// The last entry that began; empty if there was none.
        after: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whoever packs the tree says that it cannot go on.
    #[error("{0}")]
    Told(String),
}

impl ArchiveError {
    pub(crate) fn file(action: &'static str, path: &[u8]) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::File {
            action,
            path: shown(path),
            source: errno.into(),
        }
    }

    pub(crate) fn refused(path: &[u8], why: &'static str) -> Self {
        Self::Refused {
            path: shown(path),
            why,
        }
    }

    /// The failure and its cause on one line, in the system's words without its numbers.
    #[must_use]
    pub fn line(&self) -> String {
        let line = match self {
            Self::File { source, .. } | Self::Stream { source, .. } => {
                let cause = source.to_string();
                let cause = cause.split(" (os error").next().unwrap_or_default();
                format!("{self}: {cause}")
            }
            _ => self.to_string(),
        };
        line.replace(['\n', '\r'], " ")
    }
}

/// A path as a person reads it.
pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
