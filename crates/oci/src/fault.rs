//! What can be wrong with one entry of a layer, and the names that an entry may have.

use tarball::{ArchiveError, NAME_MAX, PATH_MAX};

/// What is wrong with an archive or with one entry of it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The archive itself does not read.
    #[error(transparent)]
    Archive(#[from] tarball::Fault),
    /// The entry has no name.
    #[error("empty name")]
    EmptyName,
    /// A path with `..` in it.
    #[error("`..` leads out of the image")]
    Traversal,
    /// A path or link target with a zero byte in it.
    #[error("zero byte in a name")]
    ZeroInName,
    /// A name of more than 255 bytes.
    #[error("name of {0} bytes; 255 is the most")]
    NameTooLong(usize),
    /// A path or link target of more than 4095 bytes.
    #[error("path of {0} bytes; 4095 is the most")]
    PathTooLong(usize),
    /// A whiteout of nothing, of `.` or of `..`, or an entry below a whiteout.
    #[error("bad whiteout")]
    BadWhiteout,
    /// The root is to be something other than a directory.
    #[error("the root must be a directory")]
    RootNotDirectory,
    /// The path leads through something that is neither a directory nor a link to one.
    #[error("`{0}` on its path is not a directory")]
    ParentNotDirectory(String),
    /// Symbolic links on the path lead in a circle, or on for too long.
    #[error("too many symbolic links on its path")]
    LinkLoop,
    /// A symbolic link to nothing.
    #[error("symbolic link without a target")]
    NoLinkTarget,
    /// A hard link to what is not there.
    #[error("hard link to `{0}`, which is not there")]
    LinkTargetMissing(String),
    /// More entries, with the directories that they need, than an image may have.
    #[error("more than {0} entries and directories above them")]
    TooManyEntries(u32),
    /// Names take more memory than those of an image may.
    #[error("names and links take more than the {} MiB of memory that an image may take", .0 >> 20)]
    TooMuchMemory(usize),
    /// A later entry of the same layer puts something else in the place of a directory above it.
    #[error("a later entry of the same layer takes it back")]
    TakenBack,
    /// The archive is another than it was a moment ago.
    #[error("the layer changed while it was read")]
    Changed,
    /// A hard link to a directory.
    #[error("hard link to directory `{0}`")]
    LinkToDirectory(String),
}

/// A fault and where it is: the entry at hand, or the last one before it.
#[derive(Debug)]
pub(crate) struct EntryError {
    pub(crate) entry: String,
    pub(crate) fault: Fault,
}

impl From<ArchiveError> for EntryError {
    fn from(error: ArchiveError) -> Self {
        Self {
            entry: error.entry,
            fault: error.fault.into(),
        }
    }
}

/// Splits a path into names, refusing what no entry may be called. The root has none.
pub(crate) fn components(path: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    if path.is_empty() {
        return Err(Fault::EmptyName);
    }
    if path.len() > PATH_MAX {
        return Err(Fault::PathTooLong(path.len()));
    }
    if path.contains(&0) {
        return Err(Fault::ZeroInName);
    }
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(Fault::Traversal),
            name if name.len() > NAME_MAX => return Err(Fault::NameTooLong(name.len())),
            name => names.push(name),
        }
    }
    Ok(names)
}
