//! The two hashes that a repository may name its objects by.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Sha1,
    Sha256,
}

impl Format {
    /// git's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// Bytes of an id.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    pub(crate) fn digest(self) -> Digest {
        match self {
            Self::Sha1 => Digest::Sha1(Sha1::new()),
            Self::Sha256 => Digest::Sha256(Sha256::new()),
        }
    }
}

/// A hash that is being computed.
#[derive(Clone)]
pub(crate) enum Digest {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Digest {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(digest) => digest.finalize().to_vec(),
            Self::Sha256(digest) => digest.finalize().to_vec(),
        }
    }
}
