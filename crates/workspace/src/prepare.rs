//! A repository goes into a guest: objects first, then the files that only the working tree has, then one script that
//! makes both a workspace.
//!
//! ```text
//!  receive.sh ◄── pack ─┐      ┌─ files and lists ──► unpack      finish.sh: all or nothing
//!       objects, unseen ┘      └  beside the repository, unseen   edit.sh: the same for edits alone
//! ```
//!
//! The index of a commit's objects is made here while they go by: a guest spends on unpacking and hashing them
//! several times what it costs here.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use process::FileRights;

use crate::error::{WorkspaceError, shown};
use crate::guest::{DROP, EDIT, FINISH, Guest, Input, OWN, RECEIVE};
use crate::index::Index;
use crate::lists::{Known, lists, marks};
use crate::pack::{Pack, Packed};
use crate::parcel::Parcel;
use crate::repository::{Head, Repository, object};
use crate::selection::{Mode, Selection};

/// What tells one version of a file from another without reading it: size, change time, inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub [i64; 5]);

/// What a guest was given; kept for the next time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The commit; none before the first one.
    pub commit: Option<String>,
    /// Whether all commits before it went, too.
    pub full: bool,
    /// Files of the working tree, as they were.
    pub files: Vec<(Vec<u8>, Stamp)>,
    /// Tracked files that were not there.
    pub deleted: Vec<Vec<u8>>,
    /// What its index was made from beside the commit: a digest.
    pub marks: String,
    /// The tree that all of it came to, as the guest named it.
    pub state: Option<String>,
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
    /// Whose it is in the guest, by a name or a number, and after a colon a group; root's if left out.
    pub user: Option<&'a str>,
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
    let _rights = repository.rights()?;
    // The times first: a file that changes after is another one the next time.
    let stamps: Vec<_> = selection
        .edited
        .iter()
        .map(|path| stamp(&repository.top, path))
        .collect::<Result<_, _>>()?;
    let own = |guest: &mut dyn Guest, turn| match destination.user {
        Some(user) => {
            let arguments = [destination.path, user, turn];
            OWN.run(guest, &arguments, Box::new(io::empty()), &mut io::sink())
        }
        None => Ok(()),
    };
    // Before anything goes.
    own(guest, "check")?;
    let turn = |guest: &mut dyn Guest, destination| {
        let turn = Turn {
            repository,
            selection,
            stamps: &stamps,
            marks: marks(selection),
            destination,
        };
        turn.take(guest)
    };
    let prepared = match turn(guest, destination) {
        // What was put there is gone: as if it never was.
        Err(WorkspaceError::Lost { .. }) if destination.before.is_some() => turn(
            guest,
            Destination {
                before: None,
                ..destination
            },
        ),
        outcome => outcome,
    }?;
    own(guest, "give")?;
    Ok(prepared)
}

/// One go at it.
struct Turn<'a> {
    repository: &'a Repository,
    selection: &'a Selection,
    stamps: &'a [(Vec<u8>, Stamp)],
    marks: String,
    destination: Destination<'a>,
}

impl Turn<'_> {
    fn take(&self, guest: &mut dyn Guest) -> Result<Prepared, WorkspaceError> {
        let pack = self.send_objects(guest)?;
        let known = Known::of(self.stamps, self.destination);
        let name = parcel_name();
        let parcel = Parcel {
            name: name.clone(),
            top: self.repository.top.clone(),
            owner: self.repository.owner(),
            files: known.sent.clone(),
            lists: lists(
                self.repository,
                self.selection,
                self.destination.before,
                &known,
                pack.as_ref(),
            )?,
        };
        let Destination { path, force, .. } = self.destination;
        let tree = if self.turn() == "new" {
            format!("{path}.banger-incoming")
        } else {
            path.to_owned()
        };
        let unpacked = {
            let _own = FileRights::own();
            guest.unpack(&format!("{tree}/.git"), parcel)
        };
        if let Err(failure) = unpacked {
            // Is there a workspace at all? If not, that is what to say.
            self.drop_what_went(guest)?;
            return Err(failure);
        }

        let branch = match &self.selection.head {
            Head::Branch(branch) => branch,
            Head::Detached => "-",
        };
        let mut answer = Answer::default();
        let nothing = || Box::new(io::empty()) as Input;
        if let Some(state) = self.only_files_changed(pack.is_some())
            && EDIT.attempt(guest, &[path, &name, branch, state], nothing(), &mut answer)?
        {
            return Ok(self.prepared(&answer));
        }
        let commit = self.selection.commit.as_deref().unwrap_or("-");
        let pack = pack.as_ref().map_or("-", |index| &index.pack);
        let force = if force { "force" } else { "" };
        let arguments = [path, self.turn(), &name, commit, branch, pack, force];
        FINISH.run(guest, &arguments, nothing(), &mut answer)?;
        Ok(self.prepared(&answer))
    }

    fn turn(&self) -> &'static str {
        if self.destination.before.is_some() {
            "again"
        } else {
            "new"
        }
    }

    /// The tree that the guest has, if nothing but files differs from what it was given.
    fn only_files_changed(&self, objects: bool) -> Option<&str> {
        let before = self.destination.before.filter(|_| !self.destination.force)?;
        let same = before.commit == self.selection.commit && before.marks == self.marks;
        let plain = self.selection.sparse.is_none() && !objects;
        before.state.as_deref().filter(|_| same && plain)
    }

    /// Sends what objects there are to send; gives their index if it was made here.
    fn send_objects(&self, guest: &mut dyn Guest) -> Result<Option<Index>, WorkspaceError> {
        let Destination {
            path, before, force, ..
        } = self.destination;
        let format = self.repository.format();
        let had = before.and_then(|before| before.commit.as_deref());
        let forced = if force { "force" } else { "" };
        let receive = |guest: &mut dyn Guest, stream, objects| {
            let arguments = [
                path,
                self.turn(),
                format.name(),
                had.unwrap_or("-"),
                objects,
                forced,
            ];
            RECEIVE.run(guest, &arguments, stream, &mut io::sink())
        };
        // Those of the index that it was given already are not looked for again.
        let given = before.is_some_and(|before| {
            !force
                && before.marks == self.marks
                && before.commit == self.selection.commit
                && before.state.is_some()
        });
        let pack = if given {
            None
        } else {
            Pack::of(self.repository, self.selection, before, format)?
        };
        let Some((pack, stream)) = pack else {
            if self.turn() == "new" {
                receive(guest, Box::new(io::empty()), "none")?;
            }
            return Ok(None);
        };
        let objects = if pack.is_indexed() { "indexed" } else { "pack" };
        let received = receive(guest, stream, objects);
        // A pack that the host could not make is what broke the guest's side.
        let packed = pack.finish(received.is_ok());
        match (packed, received) {
            (Ok(Packed::Whole), Ok(())) => Ok(None),
            (Ok(Packed::Indexed(index)), Ok(())) => Ok(Some(index)),
            (Err(failure), received) => {
                if received.is_ok() {
                    self.drop_what_went(guest)?;
                }
                Err(failure)
            }
            (Ok(_), Err(failure)) => Err(failure),
            (Ok(Packed::Unread), Ok(())) => {
                self.drop_what_went(guest)?;
                Err(WorkspaceError::Git {
                    action: "pack the objects",
                    said: "it was ended".to_owned(),
                })
            }
        }
    }

    fn drop_what_went(&self, guest: &mut dyn Guest) -> Result<(), WorkspaceError> {
        let arguments = [self.destination.path, self.turn()];
        DROP.run(guest, &arguments, Box::new(io::empty()), &mut io::sink())
    }

    fn prepared(&self, answer: &Answer) -> Prepared {
        let mut lines = answer.text.split(|byte| *byte == b'\n');
        let state = lines.next().and_then(|line| object(line.to_vec()).ok());
        Prepared {
            commit: self.selection.commit.clone(),
            full: self.selection.mode == Mode::Full,
            files: self.stamps.to_vec(),
            deleted: self.selection.deleted.clone(),
            marks: self.marks.clone(),
            state,
            replaced: lines.next() == Some(b"commits"),
        }
    }
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
        let room = 128_usize.saturating_sub(self.text.len());
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
