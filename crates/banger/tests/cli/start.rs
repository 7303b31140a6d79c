//! Starting the real daemon where there is none. Needs `bangerd` beside `banger`: `make build`, or
//! `cargo build -p bangerd`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{banger_beside_its_daemon, surroundings, wait_for};

/// A user's home without a daemon; what was started there ends with this value.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = surroundings(&banger_beside_its_daemon(), self.0.path());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// The daemons of this home: those whose `HOME` it is.
    fn daemons(&self) -> Vec<Pid> {
        let home = format!("HOME={}", self.0.path().display());
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| is_daemon(*pid, &home))
            .map(Pid::from_raw)
            .collect()
    }
}

fn is_daemon(pid: i32, home: &str) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let is_bangerd = std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with("bangerd"));
    let environment = std::fs::read(process.join("environ")).unwrap_or_default();
    is_bangerd
        && environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == home.as_bytes())
}

impl Drop for Home {
    fn drop(&mut self) {
        for daemon in self.daemons() {
            let _ = kill(daemon, Signal::SIGTERM);
            wait_for("the daemon's end", || {
                !Path::new(&format!("/proc/{daemon}")).exists()
            });
        }
    }
}

fn pid_in(version: &str) -> i32 {
    let version: serde_json::Value = serde_json::from_str(version).unwrap();
    version["daemon"]["pid"]
        .as_i64()
        .unwrap_or_else(|| panic!("no daemon: {version}")) as i32
}

#[test]
fn two_clients_at_once_start_one_daemon() {
    let home = Home::new();
    let clients: Vec<_> = (0..6)
        .map(|_| home.command(&["ps", "--json"]).spawn().unwrap())
        .collect();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.stdout, b"[]\n");
    }
    let pid = pid_in(&home.run(&["version", "--json"]).1);
    assert_eq!(home.daemons(), [Pid::from_raw(pid)]);
}

#[test]
fn a_daemon_outlives_its_client_and_a_dead_one_is_replaced() {
    let home = Home::new();
    assert_eq!(home.run(&["ps"]).0, Some(0));
    let first = pid_in(&home.run(&["version", "--json"]).1);
    assert_eq!(pid_in(&home.run(&["version", "--json"]).1), first);
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    wait_for("the daemon's end", || home.daemons().is_empty());
    assert_eq!(home.run(&["ps"]).0, Some(0));
    assert_ne!(pid_in(&home.run(&["version", "--json"]).1), first);
}

#[test]
fn a_daemon_that_cannot_start_says_why_in_its_own_words() {
    let home = Home::new();
    let folder = home.0.path().join(".config/banger");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), "log_levl = \"info\"\n").unwrap();
    let (code, out, err) = home.run(&["ps"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("banger: cannot start the daemon: "), "{err}");
    assert!(err.contains("config.toml:1") && err.contains("log_levl"), "{err}");
    assert_eq!(home.daemons(), []);
}
