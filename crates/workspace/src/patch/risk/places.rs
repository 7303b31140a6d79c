//! Folders that are git repositories once the changes are there, and names that meet others of their folder.
//!
//! git takes a folder for a repository by three names in it, wherever it lies: whoever runs git there runs what its
//! `config` names.

use super::ground::{Entry, Ground, split};
use super::{Add, RiskKind};
use crate::error::shown;
use crate::patch::Change;
use crate::patch::name::folded;

/// Whether a name is one of those that make a repository.
pub(super) fn is_part(name: &[u8]) -> bool {
    folded(name)
        .any(|part| matches!(part.as_str(), "head" | "objects" | "refs" | "commondir") || is_common(&part))
}

/// The short name of `commondir`.
fn is_common(name: &str) -> bool {
    matches!(name, "common~1" | "common~2" | "common~3" | "common~4")
}

/// Looks at the folders that a change lies in.
pub(super) fn look(change: &Change, ground: &Ground, add: Add<'_>) {
    let (mut folder, mut name) = split(&change.path);
    loop {
        if change.before.is_none()
            && change.after.is_some()
            && let Some(twin) = ground.twin(folder, name)
        {
            add(change, RiskKind::SameName, Some(format!("`{}`", shown(&twin))));
        }
        if folder.is_empty() {
            return;
        }
        let known = ground.repositories.borrow().contains_key(folder);
        if !known {
            let is = is_repository(ground, folder);
            ground.repositories.borrow_mut().insert(folder.to_vec(), is);
            if is {
                add(change, RiskKind::Repository, Some(format!("`{}`", shown(folder))));
            }
        }
        (folder, name) = split(folder);
    }
}

fn is_repository(ground: &Ground, folder: &[u8]) -> bool {
    let has = |name: &str, file: bool| {
        let mut found = false;
        ground.look(folder, name, true, &mut |_, entry| {
            found |= !file || *entry != Entry::Folder;
        });
        found
    };
    let head = || has("head", true);
    let own = || has("objects", false) && has("refs", false);
    let shared = || {
        let mut names = ["commondir", "common~1", "common~2", "common~3", "common~4"].iter();
        names.any(|name| has(name, true))
    };
    // A working tree of its own, of the user's: no patch brings one.
    has(".git", false) || head() && (own() || shared())
}
