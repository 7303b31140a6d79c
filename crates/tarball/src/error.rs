//! What can be wrong with an archive.

use std::io;

/// What is wrong with an archive or with one member of it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The source failed.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The archive ends in the middle of a member.
    #[error("the archive is truncated here")]
    Truncated,
    /// The archive ends without the zero block that closes every tar archive.
    #[error("the archive has no end marker after this: it was cut short")]
    NoEnd,
    /// A header's checksum does not hold.
    #[error("the archive's header after this is broken")]
    BrokenHeader,
    /// A field of a header does not hold what it has to.
    #[error("bad {0} in its header")]
    Field(&'static str),
    /// Extension headers (long name, PAX records, sparse map) larger than any sane ones, of that many bytes so far.
    #[error("extension header of {0} bytes is too large")]
    ExtensionTooLarge(u64),
    /// The member is of a kind that no file system holds.
    #[error("unknown entry type `{0}`")]
    Kind(String),
}

/// A fault and where it is.
#[derive(Debug, thiserror::Error)]
#[error("`{entry}`: {fault}")]
pub struct ArchiveError {
    /// The member at hand, or the last one before it; escaped.
    pub entry: String,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}
