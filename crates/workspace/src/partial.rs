//! Partial clones: what a clone left with its remote (`git clone --filter`) is not fetched, and is said before anything
//! goes.

use std::collections::HashSet;

use crate::error::WorkspaceError;
use crate::repository::Repository;
use crate::selection::{Mode, Selection};
use crate::tracked;

/// Begins the line of an object that is not there, where git lists what it walks.
const MISSING: u8 = b'?';

impl Repository {
    /// Whether it may lack objects, for its remote has them.
    pub(crate) fn is_partial(&self) -> bool {
        let promised = |(_, value): (&[u8], &[u8])| value != b"false";
        self.settings.get("extensions", "partialclone").is_some()
            || self.settings.each("remote", "promisor").any(promised)
    }
}

/// Makes sure that all that goes is there. `outside` are the objects of files that a sparse checkout leaves out: a guest
/// does without those, too, and fetches them where it wants them. Whether any of these is missing.
///
/// # Errors
/// Other objects are missing: how many, and the first.
pub(crate) fn check(
    repository: &Repository,
    selection: &Selection,
    outside: &HashSet<String>,
) -> Result<bool, WorkspaceError> {
    let Some(commit) = selection.commit.as_deref().filter(|_| repository.is_partial()) else {
        return Ok(false);
    };
    let mut arguments = vec!["rev-list", "--objects", "--missing=print", "--quiet"];
    match selection.mode {
        Mode::Full => {}
        Mode::Shallow => arguments.push("--no-walk"),
        // What files hold does not go.
        Mode::Metadata => arguments.extend(["--no-walk", "--filter=blob:none"]),
    }
    arguments.extend(["--end-of-options", commit]);
    let listed = repository
        .git
        .read("look for objects that are not here", arguments)?;
    let missing: Vec<&str> = listed
        .split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line.strip_prefix(&[MISSING])?).ok())
        .collect();
    let needed = || missing.iter().filter(|id| !outside.contains(**id));
    let Some(first) = needed().next() else {
        return Ok(!missing.is_empty());
    };
    let wanted: HashSet<&[u8]> = needed().map(|id| id.as_bytes()).collect();
    // Without its trees there is no list, and a name of an object has to do.
    let listing = tracked::of_commit(repository, commit).ok();
    let named = listing.as_ref().and_then(|listing| {
        let mut entries = listing.entries();
        entries.find(|(_, _, id)| wanted.contains(id))
    });
    Err(WorkspaceError::Promised {
        count: wanted.len(),
        first: match named {
            Some((path, _, _)) => format!("`{}`", crate::error::shown(path)),
            None => format!("`{}`", &first[..first.len().min(12)]),
        },
    })
}
