//! Whether a disk has room for a patch, before anything is written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::statvfs;

use super::place::beside;
use crate::error::WorkspaceError;
use crate::owner::open_own;
use crate::patch::Patch;
use crate::repository::Repository;

/// Fails where the copies that are made of the files, with what the patch adds to them, do not fit the tree's disk.
pub(super) fn check(repository: &Repository, patch: &Patch, file: &Path) -> Result<(), WorkspaceError> {
    let copied = patch.changes.iter().filter_map(|change| {
        let path = repository.top.join(OsStr::from_bytes(&change.path));
        path.symlink_metadata().ok().filter(|found| found.is_file())
    });
    let copied = copied.fold(0_u64, |sum, found| sum.saturating_add(found.len()));
    let binary = patch.changes.iter().filter_map(|change| change.size);
    let made = binary.fold(0_u64, u64::saturating_add);
    // Lines that are added are in the patch as they are.
    let text = open_own(file).and_then(|file| file.metadata());
    let text = text.map_or(0, |found| found.len());
    let needed = copied.saturating_add(made).saturating_add(text);
    let place = beside(repository);
    let disk = statvfs(place).map_err(|errno| {
        WorkspaceError::host("look at the disk of", place.display().to_string())(errno.into())
    })?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if needed > free {
        return Err(WorkspaceError::NoRoom {
            path: repository.top.clone(),
            needed,
            free,
        });
    }
    Ok(())
}
