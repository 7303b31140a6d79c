//! A guest's patch as a commit on a branch of its own: working tree and index of the host stay as they are.

use std::path::Path;

use process::Stream;

use crate::apply::misfits;
use crate::breaking::Changing;
use crate::error::WorkspaceError;
use crate::git::failed;
use crate::given::Filling;
use crate::owner::open_own;
use crate::patch::Patch;
use crate::repository::{Repository, object};

/// Makes the branch `name` at a commit that is `base` with the patch applied, which is given as it was parsed and as the
/// file that it was parsed from. Gives the commit.
///
/// # Errors
/// There is such a branch, the host has no such base, or the patch does not fit it; nothing is made then.
pub fn to_branch(
    repository: &Repository,
    patch: &Patch,
    file: &Path,
    base: Option<&str>,
    name: &str,
    message: &str,
) -> Result<String, WorkspaceError> {
    let _changing = Changing::begin()?;
    let _rights = repository.rights()?;
    repository.check_branch(name)?;
    if repository.is_branch(name)? {
        return Err(WorkspaceError::BranchTaken {
            name: name.to_owned(),
        });
    }
    if let Some(base) = base {
        repository.check_base(base)?;
    }
    let scratch = Filling::new(repository.owner()).and_then(Filling::give);
    let scratch = scratch.map_err(WorkspaceError::host("make", "a scratch folder"))?;
    let git = repository
        .git_for_branches()?
        .writing_ours(scratch.path())
        .with("GIT_INDEX_FILE", scratch.path().join("index"));
    match base {
        Some(base) => git.read("read the base", ["read-tree", base])?,
        None => git.read("read the base", ["read-tree", "--empty"])?,
    };
    patch.check_claims(&git, file)?;
    // From stdin: the file may lie where this git sees nothing.
    let file = open_own(file).map_err(WorkspaceError::host("read", "the patch"))?;
    let arguments = ["apply", "--cached", "--whitespace=nowarn"];
    let output = git.output_of("apply the patch", arguments, Stream::Given(file.into()))?;
    if !output.status.success() {
        let files = misfits(&output.stderr);
        return Err(match files.is_empty() {
            true => failed("apply the patch", &output),
            false => WorkspaceError::Conflict { files },
        });
    }
    let line = |mut line: Vec<u8>| {
        line.pop();
        object(line)
    };
    let tree = line(git.read("write the tree", ["write-tree"])?)?;
    let mut arguments = vec!["commit-tree", &tree, "-m", message];
    if let Some(base) = base {
        arguments.extend(["-p", base]);
    }
    let commit = line(git.read("make the commit", arguments)?)?;
    let full = format!("refs/heads/{name}");
    // Only where there still is none.
    let none = "0".repeat(commit.len());
    git.read("make the branch", ["update-ref", &full, &commit, &none])?;
    Ok(commit)
}
