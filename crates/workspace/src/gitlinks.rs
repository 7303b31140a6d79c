//! Submodules in a repository's index or commit: which of them nothing declares, so that there is nothing to take along.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;

use crate::config::settings_of;
use crate::error::WorkspaceError;
use crate::repository::Repository;

/// The file by which a repository says where its submodules come from (gitmodules(5)).
const NAME: &str = ".gitmodules";
/// Most bytes of it.
const LARGEST: u64 = 1 << 20;

/// Those of the submodules at `paths` that nothing declares and that are not checked out: git itself can neither fetch nor
/// update them. Sorted. `from` is the commit whose declarations count, in the place of the working tree's.
///
/// # Errors
/// The declarations cannot be read.
pub(crate) fn undeclared<'a>(
    repository: &Repository,
    paths: impl Iterator<Item = &'a [u8]>,
    from: Option<&str>,
) -> Result<Vec<Vec<u8>>, WorkspaceError> {
    let mut paths = paths.peekable();
    if paths.peek().is_none() {
        return Ok(Vec::new());
    }
    let declared = declared(repository, from)?;
    let empty = |path: &[u8]| {
        let place = repository.top.join(std::ffi::OsStr::from_bytes(path));
        match place.symlink_metadata() {
            Ok(found) => found.is_dir() && place.join(".git").symlink_metadata().is_err(),
            Err(_) => true,
        }
    };
    let found = paths.filter(|path| !declared.contains(*path) && empty(path));
    let mut found: Vec<Vec<u8>> = found.map(<[u8]>::to_vec).collect();
    found.sort_unstable();
    Ok(found)
}

/// The paths that are declared. git reads the file of the commit where the working tree has none.
fn declared(repository: &Repository, from: Option<&str>) -> Result<HashSet<Vec<u8>>, WorkspaceError> {
    let text = match repository.read(NAME, from, LARGEST)? {
        None if from.is_none() && repository.commit.is_some() => {
            repository.read(NAME, Some("HEAD"), LARGEST)?
        }
        text => text,
    };
    let settings = settings_of(&text.unwrap_or_default(), &repository.top.join(NAME))?;
    let paths = settings.each("submodule", "path");
    Ok(paths
        .map(|(_, path)| path.strip_suffix(b"/").unwrap_or(path).to_vec())
        .collect())
}
