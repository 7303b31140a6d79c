//! The control groups that a started process is in (`cgroups(7)`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};

/// Control groups, open as the folders that they are.
#[derive(Debug)]
pub struct Group {
    folders: Vec<OwnedFd>,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Group {
    /// One of version 2. A process is born in it, so that nobody waits for it to be moved, and no right to move one is
    /// needed but to this group.
    #[must_use]
    pub fn unified(folder: OwnedFd) -> Self {
        Self {
            folders: vec![folder],
            version: Version::Two,
        }
    }

    /// Those of version 1, one for each thing that is counted. A process is moved there while its program begins; the
    /// start is over when it has been.
    #[must_use]
    pub fn legacy(folders: Vec<OwnedFd>) -> Self {
        Self {
            folders,
            version: Version::One,
        }
    }

    /// The one that a process can be born in.
    pub(crate) fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        match self.version {
            Version::One => None,
            Version::Two => self.folders.first().map(AsFd::as_fd),
        }
    }

    /// Moves a process in.
    pub(crate) fn take_in(&self, pid: u32) -> io::Result<()> {
        self.folders.iter().try_for_each(|folder| {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let processes = openat(folder, "cgroup.procs", flags, Mode::empty())?;
            rustix::io::write(&processes, pid.to_string().as_bytes())?;
            Ok(())
        })
    }
}
