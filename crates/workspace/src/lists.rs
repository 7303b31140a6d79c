//! What the guest's scripts are told beside the files: lists of paths, each ended by NUL, and texts.

use std::collections::{HashMap, HashSet};

use crate::digest::Format;
use crate::error::WorkspaceError;
use crate::index::Index;
use crate::prepare::{Destination, Prepared, Stamp};
use crate::repository::Repository;
use crate::selection::{Mode, Selection};
use crate::settings;

/// The lists that the scripts read.
pub(crate) fn lists(
    repository: &Repository,
    selection: &Selection,
    before: Option<&Prepared>,
    known: &Known,
    pack: Option<&Index>,
) -> Result<Vec<(&'static str, Vec<u8>)>, WorkspaceError> {
    let shallow = match (selection.mode, &selection.commit) {
        (Mode::Shallow | Mode::Metadata, Some(commit)) => format!("{commit}\n").into_bytes(),
        // A repository that is shallow itself stays so.
        (Mode::Full, _) => repository.parts.shallow.clone().unwrap_or_default(),
        (Mode::Shallow | Mode::Metadata, None) => Vec::new(),
    };
    let settings = if before.is_none() {
        settings::of(&repository.settings, selection.promisor.as_deref())
    } else {
        Vec::new()
    };
    let (back, gone) = no_longer(selection, before);
    let appearing = appearing(selection, before, known.sent.iter().chain(back.iter().copied()));
    let mut lists = vec![
        ("settings", settings),
        ("shallow", shallow),
        ("sparse", selection.sparse.clone().unwrap_or_default()),
        ("staged", selection.staged.clone()),
        ("unmerged", selection.unmerged.clone()),
        ("intended", selection.intended.clone()),
        ("kept", joined(&known.kept)),
        ("sent", joined(&known.sent)),
        ("deleted", joined(&selection.deleted)),
        ("back", joined(back)),
        ("gone", joined(gone)),
        ("appearing", joined(appearing)),
    ];
    lists.extend(pack.map(|index| ("pack", index.text.clone())));
    Ok(lists)
}

/// Files of the working tree: those that the guest was given as they are, and those that it has to be sent.
pub(crate) struct Known {
    kept: Vec<Vec<u8>>,
    pub(crate) sent: Vec<Vec<u8>>,
}

impl Known {
    pub(crate) fn of(stamps: &[(Vec<u8>, Stamp)], destination: Destination<'_>) -> Self {
        let before = destination.before.filter(|_| !destination.force);
        let known: HashMap<&[u8], &Stamp> = before
            .iter()
            .flat_map(|before| &before.files)
            .map(|(path, stamp)| (path.as_slice(), stamp))
            .collect();
        let (kept, sent): (Vec<_>, Vec<_>) = stamps
            .iter()
            .partition(|(path, stamp)| known.get(path.as_slice()) == Some(&stamp));
        let paths = |files: Vec<&(Vec<u8>, Stamp)>| files.into_iter().map(|(path, _)| path.clone()).collect();
        Self {
            kept: paths(kept),
            sent: paths(sent),
        }
    }
}

/// Files that were of the working tree alone the last time, or not there, and are as in the index now; files that are
/// no longer there.
fn no_longer<'a>(
    selection: &'a Selection,
    before: Option<&'a Prepared>,
) -> (Vec<&'a Vec<u8>>, Vec<&'a Vec<u8>>) {
    let Some(before) = before else {
        return (Vec::new(), Vec::new());
    };
    let edited: HashSet<&Vec<u8>> = selection.edited.iter().chain(&selection.deleted).collect();
    let were = before.files.iter().map(|(path, _)| path).chain(&before.deleted);
    let (back, mut gone): (Vec<_>, Vec<_>) = were
        .filter(|path| !edited.contains(path))
        .partition(|path| selection.files.binary_search(path).is_ok());
    let were: HashSet<&Vec<u8>> = before.deleted.iter().collect();
    gone.extend(selection.deleted.iter().filter(|path| !were.contains(path)));
    (back, gone)
}

/// Which of the paths were not there the last time: only in their way can be what the guest's git does not see.
fn appearing<'a>(
    selection: &Selection,
    before: Option<&Prepared>,
    paths: impl Iterator<Item = &'a Vec<u8>>,
) -> Vec<&'a Vec<u8>> {
    let Some(before) = before else {
        return Vec::new();
    };
    let sent: HashSet<&Vec<u8>> = before.files.iter().map(|(path, _)| path).collect();
    let deleted: HashSet<&Vec<u8>> = before.deleted.iter().collect();
    let untracked = |path: &Vec<u8>| selection.untracked.binary_search(path).is_ok();
    paths
        .filter(|path| deleted.contains(path) || untracked(path) && !sent.contains(path))
        .collect()
}

/// What the guest's index is made from beside the commit, in a few bytes.
pub(crate) fn marks(selection: &Selection) -> String {
    let mut digest = Format::Sha256.digest();
    let mode: &[u8] = match selection.mode {
        Mode::Shallow => b"shallow",
        Mode::Full => b"full",
        Mode::Metadata => b"metadata",
    };
    let sparse = selection.sparse.as_deref().unwrap_or_default();
    for list in [
        mode,
        &selection.staged,
        &selection.unmerged,
        &selection.intended,
        sparse,
    ] {
        digest.update(&(list.len() as u64).to_le_bytes());
        digest.update(list);
    }
    digest.finish().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn joined<'a>(paths: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut text = Vec::new();
    for path in paths {
        text.extend_from_slice(path);
        text.push(0);
    }
    text
}
