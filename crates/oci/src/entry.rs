//! What flattening gives: one object of the merged file system and everything known about it except its data.

/// Longest file name that Linux takes.
pub(crate) const NAME_MAX: usize = 255;
/// Longest path that Linux takes, without the terminating zero.
pub(crate) const PATH_MAX: usize = 4095;

/// One object of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, without a leading `/`; the root itself is `.`.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub modified: Timestamp,
    /// Extended attributes with their full names, values as the archive has them.
    pub xattrs: Vec<Xattr>,
}

/// The kinds of object that an archive holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; exactly `size` bytes follow as its data, holes as zeros.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points; kept as it is.
        target: Vec<u8>,
    },
    /// One more name of an entry that came before. Its own attributes say nothing.
    HardLink {
        /// Path of that entry.
        target: Vec<u8>,
    },
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A point in time; before 1970 where `seconds` is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds since 1970, rounded down.
    pub seconds: i64,
    /// What is left, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Full name, for example `user.comment`.
    pub name: Vec<u8>,
    /// Value, any bytes.
    pub value: Vec<u8>,
}

/// A path or name as it may be shown: bytes that are not printable ASCII are escaped.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 300;
    match bytes.get(..LONGEST) {
        Some(start) if bytes.len() > LONGEST => format!("{}…", start.escape_ascii()),
        _ => bytes.escape_ascii().to_string(),
    }
}
