//! A patch onto the host's working tree: all of it or nothing, without git looking at the tree.
//!
//! ```text
//!  files that the patch names ──copy──► stage ──git apply──► stage ──check──► swap: renames, undone if one fails
//! ```
//!
//! git works in the stage only, a folder of our own with none of the repository's settings, so that no filter, hook or
//! attribute of anybody's runs. What is staged lies on the tree's own disk: a full disk shows before the tree is
//! touched. What the swap is about to do is noted in a folder of the user's first, so that a program that is killed
//! leaves nothing that [`recover`] cannot put back.

mod place;
mod plan;
mod put_back;
mod record;
mod recover;
mod room;
mod stage;
mod swap;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::breaking::Changing;
use crate::error::WorkspaceError;
use crate::patch::Patch;
use crate::repository::Repository;
use plan::Plan;
pub use recover::{Recovered, recover};
use stage::Stage;
pub(crate) use stage::misfits;
use swap::Watch;

/// How a patch is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apply {
    /// Find out whether it fits, and change nothing.
    pub check: bool,
    /// Where it does not fit, merge with what the repository has of the file's older version.
    pub three_way: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files made, changed and deleted.
    pub files: usize,
    /// The note of it in [`crate::Terms::records`], if that could not be taken away. It leads to nothing.
    pub note: Option<PathBuf>,
}

/// Applies a patch, given as it was parsed and as the file that it was parsed from. Files that the user has changed
/// since are changed further where the patch fits them; the index is left alone.
///
/// # Errors
/// [`WorkspaceError::Conflict`] where it does not fit, [`WorkspaceError::InTheWay`] where something else is in the way;
/// whatever the error, the tree is as it was, unless the error names the files that are not
/// ([`WorkspaceError::NotPutBack`], [`WorkspaceError::NotTakenBack`]) or says that it is half applied.
pub fn apply(
    repository: &Repository,
    patch: &Patch,
    file: &Path,
    how: Apply,
) -> Result<Applied, WorkspaceError> {
    apply_watched(repository, patch, file, how, &mut || Ok(()))
}

fn apply_watched(
    repository: &Repository,
    patch: &Patch,
    file: &Path,
    how: Apply,
    watch: Watch<'_>,
) -> Result<Applied, WorkspaceError> {
    if patch.is_empty() {
        return Ok(Applied::default());
    }
    let _rights = repository.rights()?;
    room::check(repository, patch, file)?;
    let mut stage = Stage::of(repository, patch)?;
    stage.apply(repository, patch, file, how.three_way)?;
    let outcomes = stage.outcomes(patch)?;
    let files = outcomes.len();
    let mut note = None;
    if !how.check {
        let plan = Plan::of(&stage, &outcomes)?;
        let _changing = Changing::begin()?;
        note = swap::swap(stage, &plan, &outcomes, watch)?;
    }
    Ok(Applied { files, note })
}
