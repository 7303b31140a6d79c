//! Making a tree what it was before a swap, from the swap's plan and from what is there: no matter how far it came, by
//! whom, or how often this is begun.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, chmodat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::plan::{Identity, Plan};
use super::stage::{NEW, OLD, parent};
use super::swap::{Watch, put};
use crate::error::{WorkspaceError, shown};

/// Files that are not as they were.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Changed since they were put there, or something else is in their place.
    pub(super) changed: Vec<String>,
    /// Behind a link that took the place of a folder.
    pub(super) behind_links: Vec<String>,
    /// Put there, and no longer found.
    pub(super) gone: Vec<String>,
}

impl Left {
    /// Whether a further attempt may do more: a folder may be back in its place.
    pub(super) fn unreached(&self) -> bool {
        !self.behind_links.is_empty() || !self.gone.is_empty()
    }
}

/// Takes staged files back into the stage, and puts what they replaced into their place. Gives the paths of which the
/// tree is not as before; what was there stays in the stage.
pub(super) fn put_back(
    top: BorrowedFd<'_>,
    stage: BorrowedFd<'_>,
    plan: &Plan,
    watch: Watch<'_>,
) -> Result<Left, WorkspaceError> {
    let mut left = Left::default();
    let new = open_part(stage, NEW)?;
    for file in &plan.files {
        let Some(staged) = file.made else { continue };
        let fail = |errno: Errno| WorkspaceError::host("put back", shown(&file.path))(errno.into());
        // Made with the stage, and never put there or taken back already if the file is in it.
        let Some((home, kept)) = parent(new.as_fd(), &file.path, false)? else {
            continue;
        };
        if is_at(&home, kept, staged).map_err(fail)? == Some(true) {
            continue;
        }
        let (folder, name) = match parent(top, &file.path, false) {
            Ok(Some(place)) => place,
            Ok(None) => {
                left.gone.push(shown(&file.path));
                continue;
            }
            Err(WorkspaceError::InTheWay { .. }) => {
                left.behind_links.push(shown(&file.path));
                continue;
            }
            Err(error) => return Err(error),
        };
        match is_at(&folder, name, staged).map_err(fail)? {
            Some(true) => {
                watch()?;
                put(folder.as_fd(), name, &home, kept).map_err(fail)?;
            }
            // What is in the way of an earlier file is listed with that.
            Some(false) if file.had => {}
            Some(false) => left.changed.push(shown(&file.path)),
            None => left.gone.push(shown(&file.path)),
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
    let old = open_part(stage, OLD)?;
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
            left.behind_links.push(shown(&file.path));
            continue;
        };
        match put(old.as_fd(), kept.as_bytes(), &folder, name) {
            Ok(()) => {}
            Err(Errno::EXIST) => left.changed.push(shown(&file.path)),
            Err(errno) => return Err(fail(errno)),
        }
    }
    for files in [&mut left.changed, &mut left.behind_links, &mut left.gone] {
        files.dedup();
    }
    Ok(left)
}

/// Whether a name is that very file; nothing where it is none.
fn is_at(folder: &OwnedFd, name: &[u8], staged: Identity) -> Result<Option<bool>, Errno> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(Identity::of(&found) == staged)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The folder of a path, if there is one that is reached through no link.
fn lies_in<'a>(top: BorrowedFd<'_>, path: &'a [u8]) -> Option<(OwnedFd, &'a [u8])> {
    parent(top, path, false).ok().flatten()
}

fn open_part(stage: BorrowedFd<'_>, part: &'static str) -> Result<OwnedFd, WorkspaceError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(stage, part, flags, Mode::empty())
        .map_err(|errno| WorkspaceError::host("open", "the folder of what is applied")(errno.into()))
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
