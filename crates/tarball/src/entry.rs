//! One object of a file system as an archive tells of it: its path and everything known about it except its data.

/// Longest file name that Linux takes.
pub const NAME_MAX: usize = 255;
/// Longest path that Linux takes, without the terminating zero.
pub const PATH_MAX: usize = 4095;

/// One object of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root; a leading `/` or `./` means nothing. The root itself is `./` or `/`.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, set-id and sticky bits; other bits are ignored.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub modified: Timestamp,
    /// Extended attributes with their full names, values as the archive has them. POSIX ACLs are
    /// `system.posix_acl_access` and `system.posix_acl_default` with the kernel's binary value.
    pub xattrs: Vec<Xattr>,
}

/// The kinds of object that a Linux file system holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; exactly `size` bytes follow as its data.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A directory. Where one is there already it keeps its content and takes the new attributes.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points; kept as it is.
        target: Vec<u8>,
    },
    /// One more name of an entry that came before. Its own attributes are ignored.
    HardLink {
        /// Path of that entry from the root; a leading `/` or `./` means nothing.
        target: Vec<u8>,
    },
    /// A character device.
    CharacterDevice {
        /// Major number, at most 12 bits.
        major: u32,
        /// Minor number, at most 20 bits.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number, at most 12 bits.
        major: u32,
        /// Minor number, at most 20 bits.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket's name; no archive holds one.
    Socket,
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

impl Entry {
    /// A directory as it is made where a parent is missing: 0755, root, 1970.
    #[must_use]
    pub fn directory(path: &[u8]) -> Self {
        Self {
            path: path.to_vec(),
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            modified: Timestamp::default(),
            xattrs: Vec::new(),
        }
    }

    /// A regular file of `size` bytes: 0644, root, 1970.
    #[must_use]
    pub fn file(path: &[u8], size: u64) -> Self {
        Self {
            kind: Kind::File { size },
            mode: 0o644,
            ..Self::directory(path)
        }
    }
}

/// A path or name as it may be shown: bytes that are not printable ASCII are escaped.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 300;
    match bytes.get(..LONGEST) {
        Some(start) if bytes.len() > LONGEST => format!("{}…", start.escape_ascii()),
        _ => bytes.escape_ascii().to_string(),
    }
}
