//! A repository goes into a guest: objects first, then the files that only the working tree has, then one script that
//! makes both a workspace.
//!
//! ```text
//!  receive.sh ◄── pack ─┐      ┌─ files and lists ──► unpack      finish.sh: all or nothing
//!       objects, unseen ┘      └  beside the repository, unseen
//! ```

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{WorkspaceError, shown};
use crate::guest::{FINISH, Guest, Input, RECEIVE};
use crate::pack::Pack;
use crate::parcel::Parcel;
use crate::repository::{Head, Repository};
use crate::selection::{Mode, Selection};
use crate::settings;

/// What tells one version of a file from another without reading it: size, change time, inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub [i64; 5]);

/// What a guest was given; kept for the next time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The commit; none before the first one.
    pub commit: Option<String>,
    /// Files of the working tree, as they were.
    pub files: Vec<(Vec<u8>, Stamp)>,
    /// Tracked files that were not there.
    pub deleted: Vec<Vec<u8>>,
    /// Whether commits of the guest's gave way, which it keeps as `refs/banger/replaced`.
    pub replaced: bool,
}

/// Where a workspace goes, and over what.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// An absolute path in the guest.
    pub path: &'a str,
    /// What this guest was given at that path before.
    pub before: Option<&'a Prepared>,
    /// Replace what lies there, and work that was made in it.
    pub force: bool,
}

/// Makes the guest's folder what the repository is.
///
/// # Errors
/// [`WorkspaceError::GuestWork`] with what would be lost, [`WorkspaceError::Occupied`], and whatever fails on either
/// side. The guest's workspace is then as it was.
pub fn prepare(
    repository: &Repository,
    selection: &Selection,
    guest: &mut dyn Guest,
    destination: Destination<'_>,
) -> Result<Prepared, WorkspaceError> {
    let Destination { path, before, force } = destination;
    // The times first: a file that changes after is another one the next time.
    let stamps: Vec<_> = selection
        .edited
        .iter()
        .map(|path| stamp(&repository.top, path))
        .collect::<Result<_, _>>()?;
    let turn = if before.is_some() { "again" } else { "new" };
    let had = before.map(|before| before.commit.as_deref().unwrap_or("-"));
    let known: HashMap<&[u8], &Stamp> = before
        .filter(|_| !force)
        .map(|before| {
            before
                .files
                .iter()
                .map(|(path, stamp)| (path.as_slice(), stamp))
                .collect()
        })
        .unwrap_or_default();
    let (kept, files): (Vec<_>, Vec<_>) = stamps
        .iter()
        .partition(|(path, stamp)| known.get(path.as_slice()) == Some(&stamp));
    let force = if force { "force" } else { "" };

    let format = repository.git.line(["rev-parse", "--show-object-format"])?;
    let format = String::from_utf8(format.unwrap_or_default()).unwrap_or_default();
    let had_commit = had.unwrap_or("-");
    let receive = |guest: &mut dyn Guest, stream, objects| {
        let arguments = [path, turn, &format, had_commit, objects, force];
        RECEIVE.run(guest, &arguments, stream, &mut io::sink())
    };
    let nothing = || Box::new(io::empty()) as Input;
    if let Some((pack, stream)) = Pack::of(repository, selection, had.filter(|had| *had != "-"))? {
        let received = receive(guest, stream, "pack");
        // A pack that the host could not make is what broke the guest's side.
        let whole = pack.finish()?;
        received?;
        if !whole {
            let said = "it was ended".to_owned();
            return Err(WorkspaceError::Git {
                action: "pack the objects",
                said,
            });
        }
    } else if turn == "new" {
        receive(guest, nothing(), "none")?;
    }

    let name = parcel_name();
    let parcel = Parcel {
        name: name.clone(),
        top: repository.top.clone(),
        files: files.iter().map(|(path, _)| path.clone()).collect(),
        lists: lists(repository, selection, &kept, &files, before)?,
    };
    let tree = if turn == "new" {
        format!("{path}.banger-incoming")
    } else {
        path.to_owned()
    };
    if let Err(failure) = guest.unpack(&format!("{tree}/.git"), parcel) {
        // Is there a workspace at all? If not, that is what to say.
        receive(guest, nothing(), "none")?;
        return Err(failure);
    }

    let branch = match &selection.head {
        Head::Branch(branch) => branch,
        Head::Detached => "-",
    };
    let commit = selection.commit.as_deref().unwrap_or("-");
    let arguments = [path, turn, &name, commit, branch, force];
    let mut answer = Answer::default();
    FINISH.run(guest, &arguments, Box::new(io::empty()), &mut answer)?;
    Ok(Prepared {
        replaced: answer.text == b"commits\n",
        commit: selection.commit.clone(),
        files: stamps,
        deleted: selection.deleted.clone(),
    })
}

/// The lists that `finish.sh` reads.
fn lists(
    repository: &Repository,
    selection: &Selection,
    kept: &[&(Vec<u8>, Stamp)],
    files: &[&(Vec<u8>, Stamp)],
    before: Option<&Prepared>,
) -> Result<Vec<(&'static str, Vec<u8>)>, WorkspaceError> {
    let names = |files: &[&(Vec<u8>, Stamp)]| joined(files.iter().map(|(path, _)| path));
    let shallow = match (selection.mode, &selection.commit) {
        (Mode::Shallow, Some(commit)) => format!("{commit}\n").into_bytes(),
        // A repository that is shallow itself stays so.
        (Mode::Full, _) => common(repository, "shallow").unwrap_or_default(),
        (Mode::Shallow, None) => Vec::new(),
    };
    Ok(vec![
        (
            "settings",
            if before.is_none() {
                settings::of(repository)?
            } else {
                Vec::new()
            },
        ),
        ("shallow", shallow),
        ("sparse", selection.sparse.clone().unwrap_or_default()),
        ("staged", selection.staged.clone()),
        ("unmerged", selection.unmerged.clone()),
        ("intended", selection.intended.clone()),
        ("kept", names(kept)),
        ("sent", names(files)),
        ("deleted", joined(&selection.deleted)),
    ])
}

/// A file that all working trees of a repository share.
fn common(repository: &Repository, name: &str) -> Option<Vec<u8>> {
    let path = repository.git.line(["rev-parse", "--git-path", name]).ok()??;
    std::fs::read(repository.top.join(std::ffi::OsStr::from_bytes(&path))).ok()
}

fn joined<'a>(paths: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut text = Vec::new();
    for path in paths {
        text.extend_from_slice(path);
        text.push(0);
    }
    text
}

fn stamp(top: &Path, path: &[u8]) -> Result<(Vec<u8>, Stamp), WorkspaceError> {
    let found = top.join(std::ffi::OsStr::from_bytes(path)).symlink_metadata();
    let found = found.map_err(|_| WorkspaceError::Moved { path: shown(path) })?;
    let inode = found.ino().cast_signed();
    let numbers = [
        found.size().cast_signed(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime_nsec(),
        inode,
    ];
    Ok((path.to_vec(), Stamp(numbers)))
}

/// The beginning of what a script says, as much as any of ours does.
#[derive(Default)]
struct Answer {
    text: Vec<u8>,
}

impl io::Write for Answer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = 64 - self.text.len();
        self.text.extend_from_slice(&bytes[..room.min(bytes.len())]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A name that no other prepare has.
fn parcel_name() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("banger-{random:016x}")
}
