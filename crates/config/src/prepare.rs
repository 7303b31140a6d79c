//! Making directories that nobody else can get at.
//!
//! A check by path could be passed through a symbolic link that is swapped afterwards, so a directory is opened first
//! and everything is asked and done through its descriptor.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::PathsError;

/// Makes a directory (and its parents) below the user's own ones.
///
/// The last step may be a symbolic link, as of a user who keeps the cache on another disk: what it leads to must be the
/// user's. A directory that others can only read is closed; one that they can write is refused, since they may have
/// put something into it.
pub fn user_directory(path: &Path, uid: u32) -> Result<(), PathsError> {
    let directory = create_and_open(path, OFlags::empty())?;
    let mode = owned_mode(path, &directory, uid)?;
    closed_to_writing(path, mode)?;
    if mode & 0o077 != 0 {
        rustix::fs::fchmod(&directory, Mode::RWXU).map_err(|source| PathsError::Open {
            path: path.to_owned(),
            source: source.into(),
        })?;
    }
    Ok(())
}

/// Checks a directory that may not be there yet, by the rules of [`user_directory`]; false where it is not.
pub fn check_user_directory(path: &Path, uid: u32) -> Result<bool, PathsError> {
    let directory = match open(path, OFlags::empty()) {
        Err(PathsError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    let mode = owned_mode(path, &directory, uid)?;
    closed_to_writing(path, mode).map(|()| true)
}

/// Makes a directory in a place where others can make one too (`/tmp`): no link, ours, mode 0700 from its first moment.
pub fn private_directory(path: &Path, uid: u32) -> Result<(), PathsError> {
    let directory = create_and_open(path, OFlags::NOFOLLOW)?;
    let mode = owned_mode(path, &directory, uid)?;
    if mode & 0o077 != 0 {
        return Err(PathsError::OpenToOthers {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

fn create_and_open(path: &Path, flags: OFlags) -> Result<OwnedFd, PathsError> {
    let failed = |source| PathsError::Create {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(failed)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    open(path, flags)
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, PathsError> {
    let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP => PathsError::NotADirectory {
            path: path.to_owned(),
        },
        error => PathsError::Open {
            path: path.to_owned(),
            source: error.into(),
        },
    })
}

fn closed_to_writing(path: &Path, mode: u32) -> Result<(), PathsError> {
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(PathsError::OpenToOthers {
        path: path.to_owned(),
        mode,
    })
}

/// Permission bits of a directory that must be `uid`'s.
fn owned_mode(path: &Path, directory: &OwnedFd, uid: u32) -> Result<u32, PathsError> {
    let stat = rustix::fs::fstat(directory).map_err(|source| PathsError::Open {
        path: path.to_owned(),
        source: source.into(),
    })?;
    if stat.st_uid != uid {
        return Err(PathsError::ForeignOwner {
            path: path.to_owned(),
            owner: stat.st_uid,
            uid,
        });
    }
    Ok(stat.st_mode & 0o7777)
}
