//! What a killed apply left: found by the next that looks, and the tree made what it was.
//!
//! By the user's own notes alone ([`super::record`]): a repository that came from elsewhere can hold folders that look
//! like ours, and no note leads to those.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};

use super::place::{KEPT, Turn, beside};
use super::plan::Plan;
use super::put_back::put_back;
use super::record::{Record, finish};
use super::swap::Watch;
use crate::breaking::Changing;
use crate::error::WorkspaceError;
use crate::repository::Repository;

/// What was made of a killed apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Files that the patch names: as they were before it, but for those that are left.
    pub files: usize,
    /// Files that somebody changed since or put behind a link, which stay as they are.
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
    let Some(records) = &repository.records else {
        return Ok(None);
    };
    let _rights = repository.rights()?;
    let cannot = |source| WorkspaceError::host("look into", records.display().to_string())(source);
    // Where the repository was moved, too.
    let is_here = |(record, _): &(Record, Plan)| {
        let own = record.stage.parent() == Some(beside(repository));
        own || stage_of(record, repository).is_some_and(|path| path.symlink_metadata().is_ok())
    };
    if !Record::all(records).map_err(cannot)?.iter().any(is_here) {
        return Ok(None);
    }
    let Some(_turn) = Turn::take(repository)? else {
        return Ok(None);
    };
    let _changing = Changing::begin()?;
    let mut all: Option<Recovered> = None;
    // Read again: one of them may have come to its end meanwhile.
    for (record, plan) in Record::all(records).map_err(cannot)?.into_iter().filter(is_here) {
        let Some(found) = one(repository, record, &plan, watch)? else {
            continue;
        };
        let all = all.get_or_insert_default();
        all.files += found.files;
        all.left.extend(found.left);
        all.kept = all.kept.take().or(found.kept);
    }
    Ok(all)
}

/// Where a stage is, or would be if this is the repository that it was made for.
fn stage_of(record: &Record, repository: &Repository) -> Option<PathBuf> {
    Some(beside(repository).join(record.stage.file_name()?))
}

/// One stage: nothing to tell if the tree had not been touched, or was done.
fn one(
    repository: &Repository,
    record: Record,
    plan: &Plan,
    watch: Watch<'_>,
) -> Result<Option<Recovered>, WorkspaceError> {
    let Some(path) = stage_of(&record, repository) else {
        return Ok(None);
    };
    let cannot = |source: io::Error| WorkspaceError::host("put back", path.display().to_string())(source);
    let Some(stage) = record.open_stage(&path).map_err(cannot)? else {
        // Gone, or another folder by now, which is said.
        let known = record.stage == path;
        if known {
            record.forget();
        }
        let there = known && path.symlink_metadata().is_ok();
        return Ok(there.then(|| Recovered {
            kept: Some(path),
            ..Recovered::default()
        }));
    };
    if plan.files.is_empty() || record.is_done(stage.as_fd()) {
        fs::remove_dir_all(&path).map_err(cannot)?;
        record.forget();
        return Ok(None);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = open(&repository.top, flags, Mode::empty()).map_err(|errno| cannot(errno.into()))?;
    let left = put_back(top.as_fd(), stage.as_fd(), plan, watch)?;
    // What is gone by now was removed by somebody; what is behind a link stays there.
    let left = [left.changed, left.behind_links].concat();
    finish(stage.as_fd()).map_err(cannot)?;
    let kept = if left.is_empty() {
        fs::remove_dir_all(&path).map_err(cannot)?;
        None
    } else {
        let kept = path.with_extension(KEPT);
        fs::rename(&path, &kept).map_err(cannot)?;
        Some(kept)
    };
    record.forget();
    let files = plan.files.len();
    Ok(Some(Recovered { files, left, kept }))
}
