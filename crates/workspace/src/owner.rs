//! Another user's repository in which root works: whose it is, and the rights to work there.
//!
//! Its owner can swap any part of it for a link, at any moment. So whatever this crate does there by itself it does with
//! the owner's rights on files ([`Repository::rights`](crate::repository::Repository)): what is led astray then fails, or
//! is the owner's own. What is root's own business meanwhile (a git to start, a note, a guest) is done with
//! [`FileRights::own`]. A repository of the user's own has no owner in this sense.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use process::FileRights;
use rustix::fs::Stat;
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::error::WorkspaceError;

/// The group of nobody.
const NO_GROUP: u32 = 65534;

/// Whose rights root takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Owner {
    /// The first other user than root among those whose parts of a repository these are.
    pub(crate) fn of(parts: &[Stat]) -> Option<Self> {
        let own = geteuid();
        let mut others = parts.iter().filter(|part| part.st_uid != own.as_raw());
        let other = others.next().filter(|_| own.is_root())?;
        Some(Self {
            user: other.st_uid,
            group: group_of(other.st_uid, other.st_gid),
        })
    }
}

/// Has this thread work with the owner's rights on files, if there is one.
pub(crate) fn rights(owner: Option<Owner>) -> Result<Option<FileRights>, WorkspaceError> {
    let Some(Owner { user, group }) = owner else {
        return Ok(None);
    };
    FileRights::of(user, group)
        .map(Some)
        .map_err(|source| WorkspaceError::Rights { user, source })
}

/// Opens a file of the user's own.
pub(crate) fn open_own(file: &Path) -> io::Result<File> {
    let _own = FileRights::own();
    File::open(file)
}

/// The group that a user works with in a folder of a group: that one only if the user is in it. (A folder can have the
/// group of the one that it was made in.) What is known by numbers alone comes from another system, with both.
fn group_of(user: u32, group: u32) -> u32 {
    let found = User::from_uid(Uid::from_raw(user)).ok().flatten();
    let Some(found) = found else {
        let known = Group::from_gid(Gid::from_raw(group)).ok().flatten();
        return known.map_or(group, |_| NO_GROUP);
    };
    let name = CString::new(found.name).unwrap_or_default();
    let groups = getgrouplist(&name, found.gid).unwrap_or_default();
    if groups.contains(&Gid::from_raw(group)) {
        group
    } else {
        found.gid.as_raw()
    }
}

/// A folder that goes when this does, with the rights of whose it is: of an owner's, or of this process.
#[derive(Debug)]
pub(crate) struct Temporary {
    folder: Option<TempDir>,
    owner: Option<Owner>,
}

impl Temporary {
    pub(crate) fn new(folder: TempDir, owner: Option<Owner>) -> Self {
        Self {
            folder: Some(folder),
            owner,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), TempDir::path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        let _own = FileRights::own();
        match rights(self.owner) {
            Ok(_rights) => drop(folder),
            // Rather left there than removed with more rights.
            Err(_) => drop(folder.keep()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_worked_with_only_by_who_is_in_it() {
        let root = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        let [unknown, none] = [3_999_999_991, 3_999_999_992];
        assert_eq!(group_of(0, root.gid.as_raw()), root.gid.as_raw());
        assert_eq!(group_of(0, unknown), root.gid.as_raw());
        assert_eq!(group_of(none, unknown), unknown);
        // A user of another system in a group of this one.
        assert_eq!(group_of(none, 0), NO_GROUP);
    }
}
