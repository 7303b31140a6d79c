//! Making a tree what it was before a swap, from the swap's plan and from what is there: no matter how far it came, by
//! whom, or how often this is begun.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, chmodat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::plan::{Identity, Plan};
use super::stage::{OLD, parent};
use super::swap::{Watch, put};
use crate::error::{WorkspaceError, shown};

/// Puts back what the stage holds. Gives the paths that stay as they are, since somebody has changed them since; what
/// was there before stays in the stage.
pub(super) fn put_back(
    top: BorrowedFd<'_>,
    stage: BorrowedFd<'_>,
    plan: &Plan,
    watch: Watch<'_>,
) -> Result<Vec<String>, WorkspaceError> {
    let mut left = Vec::new();
    for file in &plan.files {
        let Some(staged) = file.made else { continue };
        let Some((folder, name)) = lies_in(top, &file.path) else {
            continue;
        };
        let fail = |errno: Errno| WorkspaceError::host("put back", shown(&file.path))(errno.into());
        match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if Identity::of(&found) == staged => {
                watch()?;
                unlinkat(&folder, name, AtFlags::empty()).map_err(fail)?;
            }
            // The one that was there all along, or another one by now: what is in its way is told below.
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
    // Inner ones first.
    for (path, rights) in plan.folders.iter().rev() {
        if rights.is_none()
            && let Some((folder, name)) = lies_in(top, path)
        {
            // Not made yet, or somebody else has put something there.
            let _ = unlinkat(&folder, name, AtFlags::REMOVEDIR);
        }
    }
    let old = open_old(stage)?;
    for (number, file) in plan.files.iter().enumerate().filter(|(_, file)| file.had) {
        let kept = number.to_string();
        let fail = |errno: Errno| WorkspaceError::host("put back", shown(&file.path))(errno.into());
        match statat(&old, &kept, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(fail(errno)),
            Ok(_) => {}
        }
        watch()?;
        make_folders(top, plan, &file.path)?;
        let Some((folder, name)) = lies_in(top, &file.path) else {
            left.push(shown(&file.path));
            continue;
        };
        match put(old.as_fd(), kept.as_bytes(), &folder, name) {
            Ok(()) => {}
            Err(Errno::EXIST) => left.push(shown(&file.path)),
            Err(errno) => return Err(fail(errno)),
        }
    }
    Ok(left)
}

/// The folder of a path, if there is one that is reached through no link.
fn lies_in<'a>(top: BorrowedFd<'_>, path: &'a [u8]) -> Option<(OwnedFd, &'a [u8])> {
    parent(top, path, false).ok().flatten()
}

fn open_old(stage: BorrowedFd<'_>) -> Result<OwnedFd, WorkspaceError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(stage, OLD, flags, Mode::empty())
        .map_err(|errno| WorkspaceError::host("open", "what was taken away")(errno.into()))
}

/// Makes the folders of a path that were there and are gone.
fn make_folders(top: BorrowedFd<'_>, plan: &Plan, path: &[u8]) -> Result<(), WorkspaceError> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    for (slash, _) in slashes {
        let path = &path[..slash];
        let Some(Some(mode)) = plan.folders.get(path) else {
            continue;
        };
        let Some((folder, name)) = lies_in(top, path) else {
            return Ok(());
        };
        let fail = |errno: Errno| WorkspaceError::host("put back", shown(path))(errno.into());
        match mkdirat(&folder, name, *mode) {
            // Whatever the rights are that new folders get.
            Ok(()) => chmodat(&folder, name, *mode, AtFlags::empty()).map_err(fail)?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
    Ok(())
}
