//! What a killed apply left: found by the next that looks, and the tree made what it was.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::process::geteuid;

use super::place::{KEPT, PREFIX, Turn, beside};
use super::plan::Plan;
use super::put_back::put_back;
use super::swap::Watch;
use crate::error::WorkspaceError;
use crate::repository::Repository;

/// What was made of a killed apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Files that the patch names: as they were before it, but for those that are left.
    pub files: usize,
    /// Files that somebody changed since, which stay as they are.
    pub left: Vec<String>,
    /// Where the earlier content of those lies.
    pub kept: Option<PathBuf>,
}

/// Looks for what a killed [`super::apply`] left, and makes the tree what it was before. Nothing if there is none, or
/// if somebody applies a patch right now.
///
/// # Errors
/// What it left cannot be read, or the tree cannot be changed; the next one tries again.
pub fn recover(repository: &Repository) -> Result<Option<Recovered>, WorkspaceError> {
    recover_watched(repository, &mut || Ok(()))
}

pub(super) fn recover_watched(
    repository: &Repository,
    watch: Watch<'_>,
) -> Result<Option<Recovered>, WorkspaceError> {
    let place = beside(repository);
    let cannot = |source| WorkspaceError::host("look into", place.display().to_string())(source);
    let mut stages = Vec::new();
    for entry in fs::read_dir(place).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name();
        let rest = name.as_bytes().strip_prefix(PREFIX.as_bytes());
        if rest.is_some_and(|rest| !rest.ends_with(KEPT.as_bytes())) {
            stages.push(place.join(name));
        }
    }
    if stages.is_empty() {
        return Ok(None);
    }
    let Some(_turn) = Turn::take(repository)? else {
        return Ok(None);
    };
    let mut all: Option<Recovered> = None;
    for path in stages {
        let Some(found) = one(repository, &path, watch)? else {
            continue;
        };
        let all = all.get_or_insert_default();
        all.files += found.files;
        all.left.extend(found.left);
        all.kept = all.kept.take().or(found.kept);
    }
    Ok(all)
}

/// One stage: nothing to tell if the tree had not been touched, or was done.
fn one(repository: &Repository, path: &Path, watch: Watch<'_>) -> Result<Option<Recovered>, WorkspaceError> {
    let cannot = |source: io::Error| WorkspaceError::host("put back", path.display().to_string())(source);
    let Some(stage) = ours(path).map_err(cannot)? else {
        return Ok(None);
    };
    let Some(plan) = Plan::read(stage.as_fd()).map_err(cannot)? else {
        fs::remove_dir_all(path).map_err(cannot)?;
        return Ok(None);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = open(&repository.top, flags, Mode::empty()).map_err(|errno| cannot(errno.into()))?;
    let left = put_back(top.as_fd(), stage.as_fd(), &plan, watch)?;
    Plan::remove(stage.as_fd()).map_err(cannot)?;
    let kept = if left.is_empty() {
        fs::remove_dir_all(path).map_err(cannot)?;
        None
    } else {
        let kept = path.with_extension(KEPT);
        fs::rename(path, &kept).map_err(cannot)?;
        Some(kept)
    };
    let files = plan.files.len();
    Ok(Some(Recovered { files, left, kept }))
}

/// Opens a stage if banger made it: its owner's alone. A repository that came from elsewhere can hold a folder of that
/// name, but git makes none with such rights.
fn ours(path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(stage) = open(path, flags, Mode::empty()) else {
        return Ok(None);
    };
    let found = fstat(&stage)?;
    let folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    let private = found.st_mode & 0o777 == 0o700 && found.st_uid == geteuid().as_raw();
    Ok((folder && private).then_some(stage))
}
