//! Whether a working tree and a repository are each other's.
//!
//! A repository that came from anywhere can hold a `.git` that leads to another one of the user's, or borrow another
//! one's commits: what is private there would go along as if it were its own.

use std::path::{Path, PathBuf};

use crate::error::WorkspaceError;
use crate::git::Git;
use crate::repository::path_of;

/// Whether `folder`, the repository that git finds at a tree's top, is that tree's own.
///
/// ```text
/// .git a folder            it is that folder, and its refs and objects are its own
/// .git leads elsewhere     a linked working tree: <repository>/worktrees/NAME, whose file `gitdir` leads back
///                          a submodule: core.worktree leads back
///                          a separate one: a folder that is nobody's `.git`
/// ```
///
/// # Errors
/// git does not run.
pub(crate) fn belongs(git: &Git, top: &Path, folder: &Path) -> Result<bool, WorkspaceError> {
    let Some(common) = git.line(["rev-parse", "--git-common-dir"])? else {
        return Ok(false);
    };
    let Ok(common) = top.join(path_of(common)).canonicalize() else {
        return Ok(false);
    };
    let own = top.join(".git");
    if common != *folder {
        let linked = folder.parent() == Some(&common.join("worktrees"));
        return Ok(linked && leads_back(folder, &own));
    }
    if own.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Ok(true);
    }
    let claimed = git.line(["config", "--file", &config(folder), "--get", "core.worktree"])?;
    if let Some(claimed) = claimed {
        return Ok(folder
            .join(path_of(claimed))
            .canonicalize()
            .is_ok_and(|path| path == top));
    }
    Ok(folder.file_name().is_some_and(|name| name != ".git"))
}

/// Whether the file by which a linked working tree is known to its repository names this one.
fn leads_back(folder: &Path, own: &Path) -> bool {
    let Ok(mut written) = std::fs::read(folder.join("gitdir")) else {
        return false;
    };
    written.truncate(written.trim_ascii_end().len());
    let named: PathBuf = folder.join(path_of(written));
    named.canonicalize().ok() == own.canonicalize().ok()
}

fn config(folder: &Path) -> String {
    folder.join("config").display().to_string()
}
