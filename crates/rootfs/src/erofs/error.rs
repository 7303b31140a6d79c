//! What can go wrong between an archive and an image.

use tarball::{ArchiveError, Fault};

use std::io;

/// Why no image came out. Names are escaped and may be shown as they are.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError {
    /// The source failed while an entry's header or data was read.
    #[error("cannot read the archive at `{entry}`")]
    Read {
        /// The entry at hand, or the last one before.
        entry: String,
        /// What the source said.
        #[source]
        source: io::Error,
    },
    /// The archive or the data ended in the middle of an entry.
    #[error("archive is truncated at `{entry}`")]
    Truncated {
        /// The entry that is cut short, or the last one before.
        entry: String,
    },
    /// The archive ended without the zero block that closes every tar archive.
    #[error("archive has no end marker after `{entry}`: it was cut short")]
    NoEnd {
        /// The last entry.
        entry: String,
    },
    /// A header's checksum does not hold.
    #[error("broken archive header after `{entry}`")]
    BrokenHeader {
        /// The last good entry.
        entry: String,
    },
    /// A field of a header does not hold what it has to.
    #[error("`{entry}` has a bad {field} in its archive header")]
    BadField {
        /// The entry.
        entry: String,
        /// The field.
        field: &'static str,
    },
    /// An extension header (long name, PAX records, sparse map) is larger than any sane one.
    #[error("extension header of {bytes} bytes after `{entry}` is too large")]
    ExtensionTooLarge {
        /// The last entry.
        entry: String,
        /// Its size.
        bytes: u64,
    },
    /// The entry is of a kind that no file system holds.
    #[error("`{entry}` is of unknown archive entry type `{kind}`")]
    UnknownKind {
        /// The entry.
        entry: String,
        /// The type byte.
        kind: String,
    },
    /// The entry has no name.
    #[error("an entry of the archive has an empty name")]
    EmptyName,
    /// A path with `..` in it.
    #[error("`{entry}` leads out of the archive: `..` is refused")]
    Traversal {
        /// The entry.
        entry: String,
    },
    /// A path with a zero byte in it.
    #[error("`{entry}` has a zero byte in its name")]
    ZeroInName {
        /// The entry.
        entry: String,
    },
    /// A name of more than 255 bytes.
    #[error("`{entry}` has a name of {length} bytes; 255 is the most")]
    NameTooLong {
        /// The entry.
        entry: String,
        /// Bytes of the name.
        length: usize,
    },
    /// A path of more than 4095 bytes.
    #[error("`{entry}` is a path of {length} bytes; 4095 is the most")]
    PathTooLong {
        /// The entry, cut.
        entry: String,
        /// Bytes of the path.
        length: usize,
    },
    /// More entries than the options allow.
    #[error("`{entry}` is one entry more than the {limit} that are allowed")]
    TooManyEntries {
        /// The first entry too many.
        entry: String,
        /// The bound.
        limit: u32,
    },
    /// Names, attributes and maps take more memory than the options allow.
    #[error("`{entry}` makes names and attributes take more than the {} MiB of memory that an image may take", limit >> 20)]
    TooMuchMemory {
        /// The first entry too many.
        entry: String,
        /// The bound in bytes.
        limit: usize,
    },
    /// More file data than the options allow, or than the format can address.
    #[error("`{entry}` makes the files larger than the {limit} bytes that are allowed")]
    TooLarge {
        /// The entry.
        entry: String,
        /// The bound.
        limit: u64,
    },
    /// A hard link to something that has not come.
    #[error("`{entry}` is a hard link to `{target}`, which is not there")]
    LinkTargetMissing {
        /// The entry.
        entry: String,
        /// Where it points.
        target: String,
    },
    /// A hard link to a directory.
    #[error("`{entry}` is a hard link to the directory `{target}`")]
    LinkToDirectory {
        /// The entry.
        entry: String,
        /// Where it points.
        target: String,
    },
    /// A symbolic link whose target is empty or too long.
    #[error("`{entry}` is a symbolic link with a target of {length} bytes; 1 to 4095 are possible")]
    BadLinkTarget {
        /// The entry.
        entry: String,
        /// Bytes of the target.
        length: usize,
    },
    /// The path leads through something that is not a directory.
    #[error("`{entry}` lies below `{parent}`, which is not a directory")]
    ParentNotDirectory {
        /// The entry.
        entry: String,
        /// The name in the way.
        parent: String,
    },
    /// The root is not a directory.
    #[error("`{entry}` would make the root something else than a directory")]
    RootNotDirectory {
        /// The entry.
        entry: String,
    },
    /// A device number outside 12 bits of major and 20 bits of minor.
    #[error("`{entry}` has the impossible device number {major}:{minor}")]
    BadDevice {
        /// The entry.
        entry: String,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// An extended attribute that cannot be kept.
    #[error("`{entry}` has an extended attribute `{name}` {fault}")]
    BadXattr {
        /// The entry.
        entry: String,
        /// The attribute.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The output could not be written.
    #[error("cannot write the image")]
    Write(#[source] io::Error),
    /// The finished image could not be read back for its digest.
    #[error("cannot read the image back for its digest")]
    Digest(#[source] io::Error),
}

impl From<ArchiveError> for ErofsError {
    fn from(error: ArchiveError) -> Self {
        let entry = error.entry;
        match error.fault {
            Fault::Read(source) => Self::Read { entry, source },
            Fault::Truncated => Self::Truncated { entry },
            Fault::NoEnd => Self::NoEnd { entry },
            Fault::BrokenHeader => Self::BrokenHeader { entry },
            Fault::Field(field) => Self::BadField { entry, field },
            Fault::ExtensionTooLarge(bytes) => Self::ExtensionTooLarge { entry, bytes },
            Fault::Kind(kind) => Self::UnknownKind { entry, kind },
        }
    }
}
