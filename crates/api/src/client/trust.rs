//! Which daemons a client hands its commands to: by the uid of the listener, and by the folder of the socket.
//!
//! ```text
//! /            parents: root's or the user's own; not writable by others, unless sticky
//! └ run/…      links on the way: root's or the user's own
//!   └ banger/  the folder: root's or the user's own, not writable by anybody else, no link
//!     └ bangerd.sock      a socket, no link
//!       └ peer            uid of the user or of root, by SO_PEERCRED of the connected stream
//! ```
//!
//! The folder is opened step by step and the socket is reached through its descriptor: a name that is swapped after
//! the check leads nowhere else. The daemon applies the same check to the folder before it binds there.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

const ROOT: u32 = 0;

/// The uid that the kernel shows for users that a user namespace has no number for.
const OVERFLOW: u32 = 65534;

/// Bound of symbolic links on one way, the kernel's own.
const MOST_LINKS: usize = 40;

/// Whose daemons are trusted: the user's own and root's. Root could do to the user what it likes without asking; a
/// daemon of any other user is refused, by root too, since it would see whatever is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    user: u32,
    /// The process is in a user namespace that has no number for [`OVERFLOW`]: files of that owner are the host's.
    host_is_overflow: bool,
    /// The user's own number is one that strangers show, too: [`OVERFLOW`], where some have no other.
    is_anybody: bool,
}

impl Trust {
    /// Trust of the calling process's effective user.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(
            rustix::process::geteuid().as_raw(),
            std::fs::read_to_string("/proc/self/uid_map").ok().as_deref(),
        )
    }

    fn of(user: u32, map: Option<&str>) -> Self {
        Self {
            user,
            host_is_overflow: map.is_some_and(|map| !maps(map, OVERFLOW)),
            is_anybody: user == OVERFLOW && map.is_some_and(|map| !maps_all(map)),
        }
    }

    /// Whether a daemon of `uid` is trusted.
    #[must_use]
    pub fn admits(self, uid: u32) -> bool {
        uid == ROOT || (uid == self.user && !self.is_anybody)
    }

    /// Opens the folder of a socket, as a handle (`O_PATH`).
    ///
    /// # Errors
    /// [`FolderError`]: the folder is not there, or others could put a socket of theirs at its path.
    pub fn open_folder(self, folder: &Path) -> Result<OwnedFd, FolderError> {
        let absolute = std::path::absolute(folder).map_err(|source| FolderError::Open {
            path: folder.to_owned(),
            source,
        })?;
        let mut way = Way::new(self, &absolute)?;
        while way.step()? {}
        way.end()
    }

    /// Checks the way to a folder that need not be there yet, and that may be a link of the user's own at its end: others
    /// can neither put another folder in its place nor choose where it is made.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn check_way(self, folder: &Path) -> Result<(), FolderError> {
        let absolute = std::path::absolute(folder).map_err(|source| FolderError::Open {
            path: folder.to_owned(),
            source,
        })?;
        let mut way = Way::new(self, &absolute)?;
        way.link_at_end = true;
        loop {
            match way.step() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // From here on it is made by the user, in a folder that has been checked.
                Err(FolderError::Open { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn owns(self, uid: u32) -> bool {
        self.admits(uid) || (uid == OVERFLOW && self.host_is_overflow)
    }
}

/// The ranges for which a `uid_map` (`user_namespaces(7)`) has numbers.
fn ranges(map: &str) -> impl Iterator<Item = Range<u64>> {
    map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (first, _, count) = (
            numbers.next()?.ok()?,
            numbers.next()?.ok()?,
            numbers.next()?.ok()?,
        );
        Some(first..first.saturating_add(count))
    })
}

/// Whether a map has a number for `uid`.
fn maps(map: &str, uid: u32) -> bool {
    ranges(map).any(|range| range.contains(&u64::from(uid)))
}

/// Whether a map has a number for every user.
fn maps_all(map: &str) -> bool {
    ranges(map).map(|range| range.end - range.start).sum::<u64>() >= u64::from(u32::MAX)
}

/// Why a folder cannot hold a socket that is trusted.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder, or one on the way, cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The folder, one above it or a link on the way belongs to another user.
    #[error("{path} belongs to uid {owner}")]
    ForeignOwner {
        /// The folder or link.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Others can put a socket into the folder, or replace one above it.
    #[error("{path} has mode {mode:04o}, others can {}", if *.parent { "replace what is in it" } else { "put files there" })]
    OpenToOthers {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Whether it is one above.
        parent: bool,
    },
    /// The folder is a symbolic link or no directory.
    #[error("{path} is a symbolic link or no directory")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
}

/// A way through the file system, checked step by step.
struct Way {
    trust: Trust,
    /// The folder that has been reached, and its path for messages.
    at: OwnedFd,
    path: PathBuf,
    /// Names that are still to be walked, the next one last.
    ahead: Vec<OsString>,
    links: usize,
    /// Whether a link may be the last step.
    link_at_end: bool,
}

impl Way {
    fn new(trust: Trust, absolute: &Path) -> Result<Self, FolderError> {
        let mut way = Self {
            trust,
            at: open(CWD, "/".as_ref(), "/".as_ref())?,
            path: "/".into(),
            ahead: Vec::new(),
            links: 0,
            link_at_end: false,
        };
        way.push(absolute);
        Ok(way)
    }

    fn push(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        self.ahead.extend(names);
    }

    /// Walks one name; false at the end.
    fn step(&mut self) -> Result<bool, FolderError> {
        let Some(name) = self.ahead.pop() else {
            return Ok(false);
        };
        self.check_parent()?;
        let path = if name == ".." {
            self.path.parent().unwrap_or(&self.path).to_owned()
        } else {
            self.path.join(&name)
        };
        let found = open(&self.at, &name, &path)?;
        let stat = stat(&found, &path)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.at = found;
                self.path = path;
            }
            FileType::Symlink if self.link_at_end || !self.ahead.is_empty() => {
                self.check_owner(&stat, &path)?;
                self.links += 1;
                if self.links > MOST_LINKS {
                    return Err(failed(&path)(Errno::LOOP));
                }
                let target = readlinkat(&found, "", Vec::new()).map_err(failed(&path))?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    self.at = open(CWD, "/".as_ref(), "/".as_ref())?;
                    self.path = "/".into();
                }
                self.push(&target);
            }
            _ => return Err(FolderError::NotADirectory { path }),
        }
        Ok(true)
    }

    /// The folder at the end of the way.
    fn end(self) -> Result<OwnedFd, FolderError> {
        let stat = stat(&self.at, &self.path)?;
        if !self.trust.admits(stat.st_uid) {
            return Err(self.foreign(&stat));
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(self.open_to_others(&stat, false));
        }
        Ok(self.at)
    }

    /// What is in a folder on the way can be replaced by its owner, and by all who can write there unless it is sticky.
    /// Writing by a group is left to the user: many systems give each user a group of its own.
    fn check_parent(&self) -> Result<(), FolderError> {
        let stat = stat(&self.at, &self.path)?;
        self.check_owner(&stat, &self.path)?;
        if stat.st_mode & 0o002 != 0 && stat.st_mode & 0o1000 == 0 {
            return Err(self.open_to_others(&stat, true));
        }
        Ok(())
    }

    fn check_owner(&self, stat: &Stat, path: &Path) -> Result<(), FolderError> {
        if self.trust.owns(stat.st_uid) {
            return Ok(());
        }
        Err(FolderError::ForeignOwner {
            path: path.to_owned(),
            owner: stat.st_uid,
        })
    }

    fn foreign(&self, stat: &Stat) -> FolderError {
        FolderError::ForeignOwner {
            path: self.path.clone(),
            owner: stat.st_uid,
        }
    }

    fn open_to_others(&self, stat: &Stat, parent: bool) -> FolderError {
        FolderError::OpenToOthers {
            path: self.path.clone(),
            mode: stat.st_mode & 0o7777,
            parent,
        }
    }
}

fn open(at: impl AsFd, name: &OsStr, path: &Path) -> Result<OwnedFd, FolderError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name.as_bytes(), flags, Mode::empty()).map_err(failed(path))
}

fn stat(file: &OwnedFd, path: &Path) -> Result<Stat, FolderError> {
    fstat(file).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(Errno) -> FolderError {
    let path = path.to_owned();
    move |error| FolderError::Open {
        path,
        source: error.into(),
    }
}

#[cfg(test)]
mod tests;
