//! Where a repository's stages lie, and who may have one: one apply at a time.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, open, statat};
use rustix::io::Errno;

use crate::error::WorkspaceError;
use crate::repository::Repository;

/// How their names begin.
pub(super) const PREFIX: &str = ".banger-apply-";
/// How the name of one ends that is left to the user.
pub(super) const KEPT: &str = "kept";

/// The right to change the working tree of a repository, until it is dropped or its holder dies.
pub(super) struct Turn {
    _lock: OwnedFd,
}

impl Turn {
    /// Takes it; none if somebody else has it.
    pub(super) fn take(repository: &Repository) -> Result<Option<Self>, WorkspaceError> {
        let cannot = |errno: Errno| {
            WorkspaceError::host("open", repository.folder.display().to_string())(errno.into())
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(&repository.folder, flags, Mode::empty()).map_err(cannot)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            // A file system without locks: as it is with git itself there.
            _ => Ok(Some(Self { _lock: folder })),
        }
    }
}

/// A folder on the tree's own disk: the repository's, else the tree's top.
pub(super) fn beside(repository: &Repository) -> &Path {
    let disk = |path: &Path| statat(CWD, path, AtFlags::empty()).ok().map(|stat| stat.st_dev);
    if disk(&repository.folder) == disk(&repository.top) {
        &repository.folder
    } else {
        &repository.top
    }
}
