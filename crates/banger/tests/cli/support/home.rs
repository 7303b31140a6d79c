//! A user's home in which the real daemon runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::client::{banger_beside_its_daemon, surroundings, wait_for};

/// A user's home without a daemon; what was started there ends with this value.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = surroundings(&banger_beside_its_daemon(), self.0.path());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Writes the user's configuration.
    pub fn configure(&self, text: &str) {
        let folder = self.0.path().join(".config/banger");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), text).unwrap();
    }

    /// The daemons of this home.
    pub fn daemons(&self) -> Vec<Pid> {
        let is_bangerd = |pid: &Pid| {
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("bangerd"))
        };
        self.processes().into_iter().filter(is_bangerd).collect()
    }

    /// Whatever runs with this home as its `HOME`.
    pub fn processes(&self) -> Vec<Pid> {
        let home = format!("HOME={}", self.0.path().display());
        let is_ours = |pid: &i32| {
            // Empty for one that has ended and is not reaped yet.
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == home.as_bytes())
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_ours).map(Pid::from_raw).collect()
    }

    /// Every file and folder below it.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let (mut found, mut folders) = (BTreeSet::new(), vec![self.0.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
                found.insert(entry.path());
            }
        }
        found
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for daemon in self.daemons() {
            let _ = kill(daemon, Signal::SIGTERM);
        }
        wait_for("the daemon's end", || self.daemons().is_empty());
    }
}
