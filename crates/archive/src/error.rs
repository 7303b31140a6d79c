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
    /// A member that is not of the tree that was asked for.
    #[error("`{path}` came in the place of `{wanted}`: refused")]
    Another {
        /// The member's path.
        path: String,
        /// The tree's name.
        wanted: String,
    },
    /// A file that is larger than there is room for.
    #[error("no space left for `{path}`: it would be of {size} bytes, and there is room for {room} more")]
    NoRoom {
        /// The file.
        path: String,
        /// Its length, holes and all.
        size: u64,
        /// What the file system has.
        room: u64,
    },
    /// The stream is no archive.
    #[error("the archive is broken {}: {what}", place(after))]
    Malformed {
        /// The last entry that was sound; empty if there was none.
        after: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The stream ended or failed before the archive was whole.
    #[error("the stream broke off {}", place(after))]
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

/// Where in an archive, by the entry before.
fn place(after: &str) -> String {
    match after {
        "" => "at its beginning".to_owned(),
        entry => format!("after `{entry}`"),
    }
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

    pub(crate) fn another(path: &[u8], wanted: &[u8]) -> Self {
        Self::Another {
            path: shown(path),
            wanted: shown(wanted),
        }
    }

    pub(crate) fn no_room(path: &[u8], size: u64, room: u64) -> Self {
        Self::NoRoom {
            path: shown(path),
            size,
            room,
        }
    }

    pub(crate) fn empty() -> Self {
        Self::Malformed {
            after: String::new(),
            what: "it is empty",
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

/// Most bytes of a text that a stream brought, in a message: a name and some more.
const SHOWN: usize = 1000;

/// A path, or a line from the stream, as a person reads it: its beginning, if it is long.
pub(crate) fn shown(text: &[u8]) -> String {
    match text.split_at_checked(SHOWN) {
        Some((beginning, rest)) if !rest.is_empty() => format!("{}…", String::from_utf8_lossy(beginning)),
        _ => String::from_utf8_lossy(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_before_the_first_entry_breaks_at_the_beginning() {
        let broken = |after: &str| {
            let error = ArchiveError::Malformed {
                after: after.to_owned(),
                what: "a header's checksum does not hold",
            };
            error.line()
        };
        assert_eq!(
            broken("a/b"),
            "the archive is broken after `a/b`: a header's checksum does not hold"
        );
        assert_eq!(
            broken(""),
            "the archive is broken at its beginning: a header's checksum does not hold"
        );
        assert_eq!(
            ArchiveError::empty().line(),
            "the archive is broken at its beginning: it is empty"
        );
    }
}
