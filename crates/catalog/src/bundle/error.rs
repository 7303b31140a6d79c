//! What can be wrong with a bundle or a catalog of them.

use std::io;

use tarball::ArchiveError;

/// Why a bundle or a catalog cannot be used. What comes from it is escaped and may be shown as it is.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It ended early.
    #[error("it ended after {got} of {expected} bytes")]
    Truncated {
        /// Bytes that came.
        got: u64,
        /// Bytes that the catalog tells.
        expected: u64,
    },
    /// It goes on after its end.
    #[error("it has more than the {expected} bytes that the catalog tells")]
    Longer {
        /// Bytes that the catalog tells.
        expected: u64,
    },
    /// It is another one.
    #[error("its sha256 is {found}; the catalog tells {expected}")]
    Hash {
        /// What the catalog tells.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The connection broke.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It is no zstd stream.
    #[error("it cannot be decompressed")]
    Decompress(#[source] io::Error),
    /// It is no tar archive.
    #[error("its archive is broken")]
    Archive(#[source] ArchiveError),
    /// Its first member is not the manifest.
    #[error("it does not begin with {}", super::MANIFEST)]
    NoManifest,
    /// The manifest or catalog is of a later version of banger.
    #[error("it is of version {found}; this banger reads up to {known}")]
    Future {
        /// Its version.
        found: u64,
        /// The latest that can be read.
        known: u32,
    },
    /// The manifest or catalog breaks its rules.
    #[error("{document} is wrong: {message}")]
    Document {
        /// Which.
        document: &'static str,
        /// The key and what is wrong with it.
        message: String,
    },
    /// A member that no such bundle has.
    #[error("`{member}` does not belong into it")]
    Unexpected {
        /// The member.
        member: String,
    },
    /// A member that is not there.
    #[error("it holds no {member}")]
    Missing {
        /// The member.
        member: &'static str,
    },
    /// It is not what the catalog, or its own manifest, says it is.
    #[error("its {what} is `{found}`; `{expected}` was due")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// What was told.
        expected: String,
        /// What it is.
        found: String,
    },
    /// What it holds cannot be written.
    #[error("cannot write what it holds")]
    Write(#[source] io::Error),
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}
