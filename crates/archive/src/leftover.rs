//! What is made under a name of our own beside its target, and is left there when its process is killed: the next
//! command that makes something in that folder removes it.
//!
//! What is being made is locked, and a lock goes with its process, so what can be locked is left over. Only files and
//! folders of this user are looked at; no link is followed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::system::{FOLDER, beneath};

/// How many entries of a folder are looked at, and how much is removed at most: a command is not kept waiting.
const MOST_ENTRIES: usize = 100_000;
const MOST_REMOVED: usize = 100;

/// Locks what was just made under `name` in `folder`. Whether it is there still: somebody who swept may have been faster.
#[must_use]
pub fn hold(made: impl AsFd, folder: impl AsFd, name: &[u8]) -> bool {
    // Where a file system has no locks, nothing is taken for left over either.
    if flock(&made, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return false;
    }
    match (fstat(&made), statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)) {
        (Ok(made), Ok(there)) => (made.st_dev, made.st_ino) == (there.st_dev, there.st_ino),
        _ => false,
    }
}

/// Removes what is left over in `folder` under names that `is_ours` knows. What cannot be removed stays.
pub fn sweep(folder: impl AsFd, is_ours: impl Fn(&[u8]) -> bool) {
    // The folder may be open for looking names up only.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = openat(&folder, ".", flags, Mode::empty()) else {
        return;
    };
    let Ok(entries) = Dir::read_from(&folder) else {
        return;
    };
    let ours = entries
        .take(MOST_ENTRIES)
        .flatten()
        .filter(|entry| is_ours(entry.file_name().to_bytes()));
    for entry in ours.take(MOST_REMOVED) {
        let name = entry.file_name().to_bytes();
        let Some((opened, is_folder)) = own(folder.as_fd(), name) else {
            continue;
        };
        if flock(&opened, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        if is_folder {
            remove(folder.as_fd(), name);
        } else {
            let _ = unlinkat(&folder, name, AtFlags::empty());
        }
    }
}

/// A file or folder of this user's; nothing that opening would do something to.
fn own(folder: BorrowedFd<'_>, name: &[u8]) -> Option<(OwnedFd, bool)> {
    let about = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if about.st_uid != geteuid().as_raw() {
        return None;
    }
    let (flags, is_folder) = match FileType::from_raw_mode(about.st_mode) {
        FileType::Directory => (FOLDER, true),
        FileType::RegularFile => (OFlags::RDONLY | OFlags::NONBLOCK, false),
        _ => return None,
    };
    let opened = beneath(folder, name, flags, Mode::empty()).ok()?;
    Some((opened, is_folder))
}

/// Removes a folder with all that is in it, as far as that goes. Its depth is that of a stream's members.
pub(crate) fn remove(above: BorrowedFd<'_>, name: &[u8]) {
    if let Ok(folder) = beneath(above, name, FOLDER, Mode::empty()).and_then(Dir::new) {
        let mut folder = folder;
        while let Some(Ok(entry)) = folder.next() {
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let Ok(fd) = folder.fd() else { return };
            if entry.file_type() == FileType::Directory {
                remove(fd, name);
            } else {
                let _ = unlinkat(fd, name, AtFlags::empty());
            }
        }
    }
    let _ = unlinkat(above, name, AtFlags::REMOVEDIR);
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        for dead in ["own-tree/a/b", "living-tree/a"] {
            fs::create_dir_all(at(dead)).unwrap();
            fs::write(at(dead).join("file"), "x").unwrap();
        }
        symlink(at("others"), at("own-tree/out")).unwrap();
        for file in ["own-file", "living-file", "others", "living"] {
            fs::write(at(file), "x").unwrap();
        }
        symlink("others", at("own-link")).unwrap();
        let folder = File::open(top.path()).unwrap();
        let living = ["living-tree", "living-file"].map(|name| {
            let opened = File::open(at(name)).unwrap();
            assert!(hold(&opened, &folder, name.as_bytes()));
            opened
        });
        sweep(&folder, |name| {
            name.starts_with(b"own-") || name.starts_with(b"living-")
        });
        let mut left: Vec<_> = fs::read_dir(top.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["living", "living-file", "living-tree", "others", "own-link"]
        );
        assert!(at("living-tree/a/file").exists());
        drop(living);
        sweep(&folder, |name| name.starts_with(b"living-"));
        assert!(!at("living-tree").exists() && !at("living-file").exists());
    }

    #[test]
    fn what_was_swept_before_it_was_held_is_made_anew() {
        let top = tempfile::tempdir().unwrap();
        let folder = File::open(top.path()).unwrap();
        let made = File::create(top.path().join("own")).unwrap();
        sweep(&folder, |name| name == b"own");
        assert!(!hold(&made, &folder, b"own"));
        // And while it is swept.
        let made = File::create(top.path().join("own")).unwrap();
        let sweeping = File::open(top.path().join("own")).unwrap();
        flock(&sweeping, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(!hold(&made, &folder, b"own"));
    }
}
