//! Finding the user's repository, with the files that it had before whatever was killed while it changed them.

use std::path::Path;
use std::sync::Once;

use config::{Environment, Paths};
use workspace::{Recovered, Repository, Terms, recover, unconfined};

use super::failed;
use crate::failure::Failure;
use crate::render;

/// Finds the repository that a path lies in. Where an apply was killed, its files are put back first, and that is said.
/// `vm` is for hints; `borrowing` is the user's word that it may use objects of other repositories.
///
/// # Errors
/// There is none, or its files cannot be put back.
pub fn open(path: &Path, vm: &str, borrowing: bool) -> Result<Repository, Failure> {
    let fail = |error| failed(vm, &error);
    let paths = Paths::personal(&Environment::of_process())
        .map_err(|error| Failure::new(format!("cannot keep notes of repositories: {error}")))?;
    let terms = Terms {
        alternates: borrowing,
        records: Some(paths.state().join("applies")),
    };
    let repository = Repository::find_on(path, terms).map_err(fail)?;
    static SAID: Once = Once::new();
    if let Some(reason) = unconfined() {
        SAID.call_once(|| {
            render::warning(&format!(
                "git looks at {} without a sandbox of its own: {reason}",
                repository.top.display()
            ));
        });
    }
    if let Some(recovered) = recover(&repository).map_err(fail)? {
        say(&repository, &recovered);
    }
    Ok(repository)
}

fn say(repository: &Repository, recovered: &Recovered) {
    let files = match recovered.files {
        1 => "1 file is".to_owned(),
        files => format!("{files} files are"),
    };
    let top = repository.top.display();
    if let (0, Some(there)) = (recovered.files, &recovered.kept) {
        render::warning(&format!(
            "an apply to {top} was killed in the middle, and {} is not the folder that it left: nothing was put back",
            there.display()
        ));
        return;
    }
    let (Some(first), Some(kept)) = (recovered.left.first(), &recovered.kept) else {
        render::warning(&format!(
            "an apply to {top} was killed in the middle: {files} as before it"
        ));
        return;
    };
    let others = match recovered.left.len() {
        1 => String::new(),
        left => format!(" and {} more", left - 1),
    };
    render::warning(&format!(
        "an apply to {top} was killed in the middle: {files} as before it, but `{first}`{others}, changed since or behind a \
         link; what was there before lies in {}",
        kept.display()
    ));
}
