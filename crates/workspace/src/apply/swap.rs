//! Putting staged files in the place of the tree's: renames, each of which can be undone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, RenameFlags, mkdirat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::plan::{Identity, Plan};
use super::put_back::{Left, put_back};
use super::stage::{Outcome, Stage, parent};
use crate::error::{WorkspaceError, shown};

/// How often putting back is attempted, and the time between.
const ATTEMPTS: u32 = 20;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(10);

/// Asked before each change of the tree; a test has it fail, or kill the program.
pub(super) type Watch<'a> = &'a mut dyn FnMut() -> Result<(), WorkspaceError>;

/// Replaces all of them, or none. A program that is killed in between leaves the plan: see
/// [`super::recover`]. Gives the note of it if that could not be taken away, which leads to nothing then.
pub(super) fn swap(
    stage: Stage,
    plan: &Plan,
    outcomes: &[Outcome],
    watch: Watch<'_>,
) -> Result<Option<PathBuf>, WorkspaceError> {
    let own = stage.open()?;
    let Err(failure) = changes(&stage, plan, outcomes, watch) else {
        // From here on there is nothing to put back, whatever fails.
        return Ok(stage.end(&own));
    };
    match put_back_soon(&stage, &own, plan) {
        Ok(left) if left.unreached() => Err(WorkspaceError::NotTakenBack {
            files: [left.behind_links, left.gone, left.changed].concat(),
            kept: stage.leave(),
        }),
        Ok(left) if left.changed.is_empty() => Err(failure),
        // Nothing is thrown away: what could not be put back stays in the stage.
        Ok(left) => Err(WorkspaceError::NotPutBack {
            files: left.changed,
            kept: stage.keep(),
        }),
        // The next one tries it again.
        Err(_) => Err(WorkspaceError::HalfDone {
            kept: stage.leave(),
            source: Box::new(failure),
        }),
    }
}

/// Puts back, again after a moment where a folder is not in its place: who swaps it may be done with it soon.
fn put_back_soon(stage: &Stage, own: &OwnedFd, plan: &Plan) -> Result<Left, WorkspaceError> {
    let mut attempts = 1;
    loop {
        let left = put_back(stage.top.as_fd(), own.as_fd(), plan, &mut || Ok(()))?;
        if !left.unreached() || attempts == ATTEMPTS {
            return Ok(left);
        }
        attempts += 1;
        std::thread::sleep(BETWEEN_ATTEMPTS);
    }
}

/// Makes all changes, or the first of them until one fails.
pub(super) fn changes(
    stage: &Stage,
    plan: &Plan,
    outcomes: &[Outcome],
    watch: Watch<'_>,
) -> Result<(), WorkspaceError> {
    stage.note(plan)?;
    take_all(stage, plan, outcomes, watch)?;
    put_all(stage, plan, watch)
}

/// Takes away what is to be replaced or deleted; deepest folders first become empty, and go.
fn take_all(
    stage: &Stage,
    plan: &Plan,
    outcomes: &[Outcome],
    watch: Watch<'_>,
) -> Result<(), WorkspaceError> {
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
        watch()?;
        renameat(&folder, name, CWD, stage.old_path(number)).map_err(fail)?;
        // Looked at where nobody else has it any more.
        let found = statat(CWD, stage.old_path(number), AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        if Identity::of(&found) != Identity::of(expected) {
            return Err(changed());
        }
        if plan.files[number].made.is_none() {
            remove_empty(stage, path, watch)?;
        }
    }
    Ok(())
}

/// Removes the folders that a deleted file leaves empty, as git does.
fn remove_empty(stage: &Stage, path: &[u8], watch: Watch<'_>) -> Result<(), WorkspaceError> {
    let mut path = path;
    while let Some(slash) = path.iter().rposition(|byte| *byte == b'/') {
        path = &path[..slash];
        let Some((folder, name)) = parent(stage.top.as_fd(), path, false)? else {
            return Ok(());
        };
        watch()?;
        if unlinkat(&folder, name, AtFlags::REMOVEDIR).is_err() {
            // Not empty, or not ours to remove.
            return Ok(());
        }
    }
    Ok(())
}

fn put_all(stage: &Stage, plan: &Plan, watch: Watch<'_>) -> Result<(), WorkspaceError> {
    for file in plan.files.iter().filter(|file| file.made.is_some()) {
        let path = &file.path;
        make_folders(stage, path, watch)?;
        let fail = |errno: Errno| WorkspaceError::host("write", shown(path))(errno.into());
        let Some((folder, name)) = parent(stage.top.as_fd(), path, true)? else {
            return Err(fail(Errno::NOENT));
        };
        watch()?;
        let staged = stage.new_path(path);
        match put(CWD, staged.as_os_str().as_encoded_bytes(), &folder, name) {
            Ok(()) => {}
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

fn make_folders(stage: &Stage, path: &[u8], watch: Watch<'_>) -> Result<(), WorkspaceError> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    for (slash, _) in slashes {
        let Some((folder, name)) = parent(stage.top.as_fd(), &path[..slash], true)? else {
            return Ok(());
        };
        watch()?;
        match mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
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
pub(super) fn put(from: BorrowedFd<'_>, file: &[u8], folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match renameat_with(from, file, folder, name, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it.
        Err(Errno::INVAL) => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => renameat(from, file, folder, name),
            Ok(_) => Err(Errno::EXIST),
            Err(errno) => Err(errno),
        },
        outcome => outcome,
    }
}
