//! Folders for git that a killed command left in the folder for temporary files: found by the next one, and removed.
//!
//! A folder in use is locked, and its lock goes with its process. Others can write there: only folders of this user are
//! looked at, through descriptors, no link is followed, and what is removed lies below the folder that was locked.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Once;

use process::FileRights;
use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, flock, fstat, open, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::given::{FOLDER, PREFIX};

/// How many entries of a folder for temporary files are looked at, and how many folders are removed at most.
const MOST_ENTRIES: usize = 100_000;
const MOST_REMOVED: usize = 100;

static ONCE: Once = Once::new();

/// Removes what is left over, once per process. What cannot be removed stays.
pub(crate) fn remove_once() {
    ONCE.call_once(|| remove(&std::env::temp_dir()));
}

/// Removes what is left over in a folder.
fn remove(temporary: &Path) {
    let _own = FileRights::own();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = open(temporary, flags, Mode::empty()) else {
        return;
    };
    let Ok(entries) = Dir::read_from(&folder) else {
        return;
    };
    let ours = entries
        .take(MOST_ENTRIES)
        .flatten()
        .filter(|entry| entry.file_name().to_bytes().starts_with(PREFIX.as_bytes()));
    for entry in ours.take(MOST_REMOVED) {
        let name = entry.file_name();
        let Ok(opened) = openat(&folder, name, FOLDER, Mode::empty()) else {
            continue;
        };
        let own = fstat(&opened).is_ok_and(|found| found.st_uid == geteuid().as_raw());
        if own && flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() {
            empty(&opened);
            // Empties nothing: another folder that was put there meanwhile stays, unless it is an empty one.
            let _ = unlinkat(&folder, name, AtFlags::REMOVEDIR);
        }
    }
}

/// Locks a folder that was just made. Whether it is there still.
pub(crate) fn lock(opened: &OwnedFd, path: &Path) -> bool {
    // Where a file system has no locks, nothing is taken for left over either.
    if flock(opened, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return false;
    }
    let there = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
    match (fstat(opened), there) {
        (Ok(opened), Ok(there)) => (opened.st_dev, opened.st_ino) == (there.st_dev, there.st_ino),
        _ => false,
    }
}

/// Removes what lies in an open folder.
fn empty(folder: &OwnedFd) {
    let Ok(entries) = Dir::read_from(folder) else {
        return;
    };
    let here = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    for entry in entries.flatten() {
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(name);
        let path = here.join(name);
        // Below the folder that is open, by no link: the standard library opens each step of the way by descriptors.
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    fn folder(top: &Path, name: &str) -> PathBuf {
        let path = top.join(name);
        fs::create_dir_all(path.join("git/info")).unwrap();
        fs::write(path.join("git/info/exclude"), "text").unwrap();
        path
    }

    #[test]
    fn what_a_killed_command_left_is_removed_by_the_next_and_nothing_else() {
        let top = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let other = folder(elsewhere.path(), "banger-git-other");
        let left = folder(top.path(), "banger-git-left");
        symlink(&other, left.join("link")).unwrap();
        symlink(&other, left.join("git/link")).unwrap();
        let used = folder(top.path(), "banger-git-used");
        let lock_of_used = open(&used, FOLDER, Mode::empty()).unwrap();
        assert!(lock(&lock_of_used, &used));
        let unrelated = folder(top.path(), "another");
        symlink(&other, top.path().join("banger-git-link")).unwrap();
        fs::write(top.path().join("banger-git-file"), "text").unwrap();

        remove(top.path());
        assert!(!left.exists());
        for stays in [&used, &unrelated, &other] {
            assert!(stays.join("git/info/exclude").exists(), "{}", stays.display());
        }
        assert!(top.path().join("banger-git-file").exists());
        // Once its command is gone, it goes too.
        drop(lock_of_used);
        remove(top.path());
        assert!(!used.exists());
    }

    #[test]
    fn a_folder_that_was_taken_away_is_not_taken_for_locked() {
        let top = tempfile::tempdir().unwrap();
        let path = folder(top.path(), "banger-git-new");
        let opened = open(&path, FOLDER, Mode::empty()).unwrap();
        remove(top.path());
        assert!(!lock(&opened, &path));
        fs::create_dir(&path).unwrap();
        assert!(!lock(&opened, &path));
    }
}
