//! Where a repository's stages lie, and who may have one: one apply at a time.

use std::fs::{self, DirBuilder};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use process::FileRights;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, open, statat};
use rustix::io::Errno;

use crate::error::WorkspaceError;
use crate::repository::Repository;

/// How their names begin.
pub(super) const PREFIX: &str = ".banger-apply-";
/// How the name of one ends that is left to the user.
pub(super) const KEPT: &str = "kept";

/// How often a lock is opened whose file goes at that moment.
const MOST_TRIES: u32 = 100;

/// The right to change the working tree of a repository, until it is dropped or its holder dies.
///
/// The lock is a file beside the user's notes, named for the repository: whoever can read a repository could hold a lock
/// on it for ever. Another user's apply in the same repository is not waited for; each looks at a file once more before it
/// replaces it.
pub(super) struct Turn {
    _lock: OwnedFd,
    /// Taken away while the lock is held.
    file: Option<PathBuf>,
}

impl Turn {
    /// Takes it; none if another process of this user has it.
    pub(super) fn take(repository: &Repository) -> Result<Option<Self>, WorkspaceError> {
        let shown = repository.folder.display().to_string();
        let found = statat(CWD, &repository.folder, AtFlags::empty())
            .map_err(|errno| WorkspaceError::host("open", shown)(errno.into()))?;
        let Some(notes) = &repository.records else {
            return Self::of_folder(&repository.folder);
        };
        let file = notes.join(format!("turn-{:x}-{:x}", found.st_dev, found.st_ino));
        let cannot = |source| WorkspaceError::host("open", file.display().to_string())(source);
        let _own = FileRights::own();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(notes)
            .map_err(cannot)?;
        for _ in 0..MOST_TRIES {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let lock = open(&file, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| cannot(errno.into()))?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
                return Ok(None);
            }
            // Its last holder may have taken it away before this one had the lock.
            let opened = fstat(&lock).map_err(|errno| cannot(errno.into()))?;
            let there = statat(CWD, &file, AtFlags::SYMLINK_NOFOLLOW);
            if there.is_ok_and(|there| (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)) {
                return Ok(Some(Self {
                    _lock: lock,
                    file: Some(file),
                }));
            }
        }
        Ok(None)
    }

    /// By a lock on the repository's folder, where there are no notes.
    fn of_folder(folder: &Path) -> Result<Option<Self>, WorkspaceError> {
        let cannot = |errno: Errno| WorkspaceError::host("open", folder.display().to_string())(errno.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = open(folder, flags, Mode::empty()).map_err(cannot)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            // A file system without locks: as it is with git itself there.
            _ => Ok(Some(Self {
                _lock: lock,
                file: None,
            })),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _own = FileRights::own();
            // A lock that stays is taken again the next time.
            let _ = fs::remove_file(file);
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
