//! A cgroup for each command, so that all of it can be ended, whatever it forked.
//!
//! One is made ahead, and what has ended is removed, once the answer to a command is sent: the host need not wait for it.
//! None is used twice: a command may have set limits for itself.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Rest between two looks at a group that is about to be empty.
const LOOK: Duration = Duration::from_millis(10);

/// Bytes of `cgroup.events` that are read; it has two short lines.
const EVENTS: usize = 128;

/// Where the commands' groups are made.
#[derive(Clone, Debug)]
pub(super) struct Groups(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parent: PathBuf,
    next: AtomicU64,
    /// For the next command.
    spare: Mutex<Option<Folder>>,
    /// A command left something running in them.
    left: Mutex<Vec<PathBuf>>,
}

/// A cgroup's folder and two of its files.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// `cgroup.procs`: a process that writes `0` to it enters the group.
    entrance: Arc<File>,
    /// `cgroup.events`: whether there is a process in it.
    events: File,
}

/// The group of one command. When it is dropped it is removed, or once what still runs in it has ended.
#[derive(Debug)]
pub(super) struct Group {
    /// There until the drop.
    folder: Option<Folder>,
    groups: Groups,
}

impl Groups {
    /// Groups below `parent`, which is made with the first of them.
    pub(super) fn new(parent: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Shared {
            parent: parent.into(),
            next: AtomicU64::new(1),
            spare: Mutex::default(),
            left: Mutex::default(),
        }))
    }

    /// A new group; none where the machine has no cgroups.
    pub(super) fn take(&self) -> Option<Group> {
        let spare = lock(&self.0.spare)
            .take()
            .and_then(|spare| self.if_as_made(spare));
        Some(Group {
            folder: Some(spare.or_else(|| self.create())?),
            groups: self.clone(),
        })
    }

    /// A group made ahead, unless another command has removed or frozen it meanwhile.
    fn if_as_made(&self, spare: Folder) -> Option<Folder> {
        if spare.is_as_made() {
            return Some(spare);
        }
        lock(&self.0.left).push(spare.path);
        None
    }

    fn create(&self) -> Option<Folder> {
        let name = format!("x{}", self.0.next.fetch_add(1, Ordering::Relaxed));
        let path = self.0.parent.join(name);
        fs::create_dir_all(&path).ok()?;
        let folder = Folder::open(path.clone());
        if folder.is_err() {
            // A plain folder where nothing is mounted is no group.
            let _ = fs::remove_dir(&path);
        }
        folder.ok()
    }

    /// Removes what is empty of the groups whose commands have ended, and makes the next one.
    fn take_back(&self, folder: Folder) {
        let mut left = lock(&self.0.left);
        left.push(folder.path);
        left.retain(|path| !remove(path));
        drop(left);
        let mut spare = lock(&self.0.spare);
        if spare.is_none() {
            *spare = self.create();
        }
    }

    fn all(&self) -> Vec<Folder> {
        let Ok(entries) = fs::read_dir(&self.0.parent) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with('x'))
            .filter_map(|entry| Folder::open(entry.path()).ok())
            .collect()
    }

    /// Ends all that commands have started: asks, and after `patience` does not ask any more. Blocks.
    pub(super) fn end_all(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let groups = self.all();
        for group in &groups {
            group.signal(Signal::TERM);
            // Interactive shells do not end for less, and stopped jobs not before they go on.
            group.signal(Signal::HUP);
            group.signal(Signal::CONT);
        }
        while groups.iter().any(Folder::is_populated) && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        for group in &groups {
            group.kill();
        }
    }
}

impl Folder {
    fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            entrance: Arc::new(OpenOptions::new().write(true).open(path.join("cgroup.procs"))?),
            events: File::open(path.join("cgroup.events"))?,
            path,
        })
    }

    /// Whether it is there, with nothing in it, and what enters it runs.
    fn is_as_made(&self) -> bool {
        self.says(b"populated 0") && self.says(b"frozen 0")
    }

    fn is_populated(&self) -> bool {
        self.says(b"populated 1")
    }

    /// Whether this is a line of `cgroup.events`; a group that is gone has none.
    fn says(&self, line: &[u8]) -> bool {
        let mut events = [0; EVENTS];
        let Ok(length) = self.events.read_at(&mut events, 0) else {
            return false;
        };
        events[..length]
            .split(|&byte| byte == b'\n')
            .any(|said| said == line)
    }

    fn signal(&self, signal: Signal) {
        let Ok(members) = fs::read_to_string(self.path.join("cgroup.procs")) else {
            return;
        };
        for pid in members
            .lines()
            .filter_map(|line| Pid::from_raw(line.parse().ok()?))
        {
            // It may have ended by now.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills everything in it.
    fn kill(&self) {
        // In one go since Linux 5.14; before, again and again until nothing forks any more.
        if fs::write(self.path.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        for _ in 0..100 {
            if !self.is_populated() {
                return;
            }
            self.signal(Signal::KILL);
            std::thread::yield_now();
        }
    }
}

impl Group {
    /// What a process writes `0` to, to enter the group.
    pub(super) fn entrance(&self) -> Option<Arc<File>> {
        self.folder.as_ref().map(|folder| Arc::clone(&folder.entrance))
    }

    /// Kills everything in it.
    pub(super) fn kill(&self) {
        if let Some(folder) = &self.folder {
            folder.kill();
        }
    }

    /// Waits until the group is empty.
    pub(super) async fn emptied(&self) {
        while self.folder.as_ref().is_some_and(Folder::is_populated) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            self.groups.take_back(folder);
        }
    }
}

/// Removes a group and says whether it is gone: what still runs in it keeps it, and for a moment what is on its way out.
fn remove(path: &Path) -> bool {
    match fs::remove_dir(path) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the files of a group, in which this is said of it.
    fn group(events: &str) -> (tempfile::TempDir, Folder) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.procs"), "").unwrap();
        fs::write(folder.path().join("cgroup.events"), events).unwrap();
        let group = Folder::open(folder.path().to_owned()).unwrap();
        (folder, group)
    }

    #[test]
    fn a_group_that_was_made_ahead_is_taken_only_as_it_was_made() {
        for (events, good) in [
            ("populated 0\nfrozen 0\n", true),
            ("populated 1\nfrozen 0\n", false),
            ("populated 0\nfrozen 1\n", false),
            ("", false),
        ] {
            let (_folder, group) = group(events);
            assert_eq!(group.is_as_made(), good, "{events}");
        }
    }

    #[test]
    fn a_spare_group_that_is_spoiled_is_not_given_out() {
        let groups = Groups::new("/dev/null/groups");
        let (_folder, frozen) = group("populated 0\nfrozen 1\n");
        let path = frozen.path.clone();
        assert!(groups.if_as_made(frozen).is_none());
        assert_eq!(*lock(&groups.0.left), [path], "it is removed with the others");
        let (_folder, spare) = group("populated 0\nfrozen 0\n");
        *lock(&groups.0.spare) = Some(spare);
        assert!(groups.take().is_some());
    }
}
