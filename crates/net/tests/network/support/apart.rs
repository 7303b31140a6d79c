//! Tests that need another user or another host run once more, in a process of their own.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

/// Where the tests that need another user keep their folder.
const FOLDER: &str = "NET_TEST_FOLDER";

/// Runs the test `name` of this file in a process that `command` prepares, with a folder of its user's.
pub fn run_apart(mut command: Command, name: &str, user: u32) {
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(user), Some(user)).unwrap();
    // By an open descriptor, since the build folder may be closed to that user.
    let binary = rustix::io::dup(fs::File::open(std::env::current_exe().unwrap()).unwrap()).unwrap();
    command.arg(format!("/proc/self/fd/{}", binary.as_raw_fd()));
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(FOLDER, folder.path());
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

pub fn own_folder() -> PathBuf {
    std::env::var_os(FOLDER)
        .expect("run by another test, which says where")
        .into()
}

/// Root, and not only in a user namespace.
pub fn is_root_of_the_machine() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .unwrap()
        .split_ascii_whitespace()
        .eq(["0", "0", "4294967295"])
}
