//! A commit without its files: for a guest that fetches them by itself, when it wants them.

use crate::error::WorkspaceError;
use crate::repository::{Head, Repository};
use crate::selection::{Selection, split_tab};
use crate::settings;

impl Selection {
    /// A commit and the names in it, no file.
    pub(crate) fn of_metadata(repository: &Repository, from: Option<&str>) -> Result<Self, WorkspaceError> {
        let promisor = settings::first_remote(&repository.settings).ok_or(WorkspaceError::NoRemote)?;
        let mut selection = Self::empty(repository);
        if let Some(reference) = from {
            selection.commit = Some(repository.resolve(reference)?);
            selection.head = if repository.is_branch(reference)? {
                Head::Branch(reference.to_owned())
            } else {
                Head::Detached
            };
        }
        if let Some(commit) = &selection.commit {
            let listed = repository.git.read(
                "list the commit's files",
                ["ls-tree", "-r", "-z", "--full-tree", commit],
            )?;
            // git looks into these wherever it looks at files, and would fetch them one by one.
            let settings = listed.split(|byte| *byte == 0).filter_map(|line| {
                let (words, path) = split_tab(line)?;
                let name = path.rsplit(|byte| *byte == b'/').next()?;
                let of_git = matches!(name, b".gitignore" | b".gitattributes");
                let id = words.strip_prefix(b"100644 blob ").filter(|_| of_git)?;
                String::from_utf8(id.to_vec()).ok()
            });
            selection.blobs = settings.collect();
        }
        selection.sparse = Some(b"!/*\n".to_vec());
        selection.promisor = Some(promisor);
        Ok(selection)
    }
}
