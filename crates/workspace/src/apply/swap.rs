//! Putting staged files in the place of the tree's: renames, each of which can be undone.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, RenameFlags, Stat, mkdirat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::stage::{Outcome, Stage, parent};
use crate::error::{WorkspaceError, shown};

/// What was done, to be undone from the last to the first.
enum Done {
    /// A file of the tree was taken into the stage.
    Taken { path: Vec<u8>, number: usize },
    /// A staged file was put into the tree.
    Put { path: Vec<u8> },
    /// A folder was made.
    Made { path: Vec<u8> },
    /// A folder that had become empty was removed.
    Removed { path: Vec<u8>, mode: Mode },
}

/// Replaces all of them, or none.
pub(super) fn swap(stage: &Stage, outcomes: &[Outcome<'_>]) -> Result<(), WorkspaceError> {
    let mut done = Vec::new();
    let outcome = take_all(stage, outcomes, &mut done).and_then(|()| put_all(stage, outcomes, &mut done));
    let Err(failure) = outcome else {
        return Ok(());
    };
    let undone = done.into_iter().rev().map(|step| undo(stage, &step));
    let failed: Vec<_> = undone.filter_map(Result::err).collect();
    match failed.into_iter().next() {
        None => Err(failure),
        // Nothing is thrown away: what could not be put back stays in the stage.
        Some(source) => Err(WorkspaceError::NotPutBack {
            kept: stage.keep(),
            source: Box::new(source),
        }),
    }
}

/// Takes away what is to be replaced or deleted; deepest folders first become empty, and go.
fn take_all(stage: &Stage, outcomes: &[Outcome<'_>], done: &mut Vec<Done>) -> Result<(), WorkspaceError> {
    for (number, outcome) in outcomes.iter().enumerate() {
        let path = &outcome.original.path;
        let fail = |errno: Errno| WorkspaceError::host("replace", shown(path))(errno.into());
        let changed = || WorkspaceError::InTheWay {
            path: shown(path),
            why: "changed meanwhile",
        };
        let Some(expected) = &outcome.original.stat else {
            continue;
        };
        let (folder, name) = parent(stage.top.as_fd(), path, false)?.ok_or_else(changed)?;
        renameat(&folder, name, CWD, stage.old_path(number)).map_err(fail)?;
        done.push(Done::Taken {
            path: path.clone(),
            number,
        });
        // Looked at where nobody else has it any more.
        let found = statat(CWD, stage.old_path(number), AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        if !same(&found, expected) {
            return Err(changed());
        }
        if !outcome.made {
            remove_empty(stage, path, done)?;
        }
    }
    Ok(())
}

/// Removes the folders that a deleted file leaves empty, as git does.
fn remove_empty(stage: &Stage, path: &[u8], done: &mut Vec<Done>) -> Result<(), WorkspaceError> {
    let mut path = path;
    while let Some(slash) = path.iter().rposition(|byte| *byte == b'/') {
        path = &path[..slash];
        let Some((folder, name)) = parent(stage.top.as_fd(), path, false)? else {
            return Ok(());
        };
        let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
            return Ok(());
        };
        match unlinkat(&folder, name, AtFlags::REMOVEDIR) {
            Ok(()) => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                done.push(Done::Removed {
                    path: path.to_vec(),
                    mode,
                });
            }
            // Not empty, or not ours to remove.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn put_all(stage: &Stage, outcomes: &[Outcome<'_>], done: &mut Vec<Done>) -> Result<(), WorkspaceError> {
    for outcome in outcomes.iter().filter(|outcome| outcome.made) {
        let path = &outcome.original.path;
        make_folders(stage, path, done)?;
        let fail = |errno: Errno| WorkspaceError::host("write", shown(path))(errno.into());
        let Some((folder, name)) = parent(stage.top.as_fd(), path, true)? else {
            return Err(fail(Errno::NOENT));
        };
        match put(&stage.new_path(path), &folder, name) {
            Ok(()) => done.push(Done::Put { path: path.clone() }),
            Err(Errno::EXIST) => {
                return Err(WorkspaceError::InTheWay {
                    path: shown(path),
                    why: "is in the way",
                });
            }
            Err(errno) => return Err(fail(errno)),
        }
    }
    Ok(())
}

fn make_folders(stage: &Stage, path: &[u8], done: &mut Vec<Done>) -> Result<(), WorkspaceError> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    for (slash, _) in slashes {
        let Some((folder, name)) = parent(stage.top.as_fd(), &path[..slash], true)? else {
            return Ok(());
        };
        match mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
            Ok(()) => done.push(Done::Made {
                path: path[..slash].to_vec(),
            }),
            Err(Errno::EXIST) => {}
            Err(errno) => {
                return Err(WorkspaceError::host("make the folder of", shown(path))(
                    errno.into(),
                ));
            }
        }
    }
    Ok(())
}

/// Renames a file into a folder where nothing has its name.
fn put(from: &Path, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match renameat_with(CWD, from, folder, name, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it.
        Err(Errno::INVAL) => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => renameat(CWD, from, folder, name),
            Ok(_) => Err(Errno::EXIST),
            Err(errno) => Err(errno),
        },
        outcome => outcome,
    }
}

/// Takes one step back. Folders are looked up anew: one that was removed is another one by now.
fn undo(stage: &Stage, step: &Done) -> Result<(), WorkspaceError> {
    let (Done::Taken { path, .. } | Done::Put { path } | Done::Made { path } | Done::Removed { path, .. }) =
        &step;
    let fail = |errno: Errno| WorkspaceError::host("put back", shown(path))(errno.into());
    let (folder, name) = parent(stage.top.as_fd(), path, true)?.ok_or_else(|| fail(Errno::NOENT))?;
    let outcome = match step {
        Done::Taken { number, .. } => put(&stage.old_path(*number), &folder, name),
        Done::Put { .. } => unlinkat(&folder, name, AtFlags::empty()),
        Done::Made { .. } => match unlinkat(&folder, name, AtFlags::REMOVEDIR) {
            // Somebody else has put something there.
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            outcome => outcome,
        },
        Done::Removed { mode, .. } => match mkdirat(&folder, name, *mode) {
            Err(Errno::EXIST) => Ok(()),
            outcome => outcome,
        },
    };
    outcome.map_err(fail)
}

/// Whether this is what it was: renaming changes the time of an inode's change, the rest tells.
fn same(found: &Stat, expected: &Stat) -> bool {
    let of = |stat: &Stat| {
        (
            stat.st_ino,
            stat.st_size,
            stat.st_mtime,
            stat.st_mtime_nsec,
            stat.st_mode,
        )
    };
    of(found) == of(expected)
}
