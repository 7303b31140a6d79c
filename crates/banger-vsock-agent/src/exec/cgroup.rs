//! A cgroup for each command, so that all of it can be ended, whatever it forked.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Rest between two looks at a group that is about to be empty.
const LOOK: Duration = Duration::from_millis(10);

/// How long a group may take to be removable after its last process has gone.
const REMOVAL: Duration = Duration::from_millis(200);

/// Where the commands' groups are made.
#[derive(Debug)]
pub(super) struct Groups {
    parent: PathBuf,
    next: AtomicU64,
}

/// The group of one command. Dropping it leaves it to [`Groups::sweep`].
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
}

impl Groups {
    /// Groups below `parent`, which is made with the first of them.
    pub(super) fn new(parent: impl Into<PathBuf>) -> Self {
        Self {
            parent: parent.into(),
            next: AtomicU64::new(1),
        }
    }

    /// A new group; none where the machine has no cgroups.
    pub(super) fn create(&self) -> Option<Group> {
        self.sweep();
        let name = format!("x{}", self.next.fetch_add(1, Ordering::Relaxed));
        let path = self.parent.join(name);
        fs::create_dir_all(&path).ok()?;
        let group = Group { path };
        // A plain folder where nothing is mounted is no group.
        if group.entrance().is_err() {
            group.remove();
            return None;
        }
        Some(group)
    }

    /// Removes the groups that commands left behind with something in them that has ended since.
    fn sweep(&self) {
        for group in self.all() {
            let _ = fs::remove_dir(&group.path);
        }
    }

    fn all(&self) -> Vec<Group> {
        let Ok(entries) = fs::read_dir(&self.parent) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with('x') && entry.path().is_dir())
            .map(|entry| Group { path: entry.path() })
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
        while groups.iter().any(Group::is_populated) && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        for group in &groups {
            group.kill();
        }
    }
}

impl Group {
    /// What a process writes `0` to, to enter the group.
    pub(super) fn entrance(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .open(self.path.join("cgroup.procs"))
    }

    /// Whether there is a process in it.
    pub(super) fn is_populated(&self) -> bool {
        fs::read_to_string(self.path.join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
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
    pub(super) fn kill(&self) {
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

    /// Removes the group. What still runs in it keeps it; it is swept up later.
    pub(super) fn remove(&self) {
        let _ = fs::remove_dir(&self.path);
    }

    /// Waits until the group is empty.
    pub(super) async fn emptied(&self) {
        while self.is_populated() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Removes the group once its processes are gone for good, which is a moment after they have been reaped.
    pub(super) async fn remove_emptied(&self) {
        let deadline = Instant::now() + REMOVAL;
        while fs::remove_dir(&self.path).is_err()
            && Instant::now() < deadline
            && Path::new(&self.path).exists()
        {
            tokio::time::sleep(LOOK).await;
        }
    }
}
