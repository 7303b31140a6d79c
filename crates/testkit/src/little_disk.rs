//! A disk that is soon full.

use std::path::PathBuf;
use std::process::Command;

/// Where the copy of a test has its disk.
const VARIABLE: &str = "BANGER_TEST_LITTLE_DISK";

/// Runs a test, by its full name, in a copy of this program for which there is an empty disk of so many KiB. There,
/// where that disk is; here, once the copy has passed, nothing.
///
/// # Panics
/// The copy fails.
pub fn with_a_little_disk(test: &str, kib: u32) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(VARIABLE) {
        return Some(disk.into());
    }
    let disk = tempfile::TempDir::new().expect("a test can have a folder");
    let mut copy = Command::new("unshare");
    copy.args(["--user", "--map-root-user", "--mount", "sh", "-ec"])
        .arg(format!(
            "mount -t tmpfs -o size={kib}k none \"${VARIABLE}\"; exec \"$@\""
        ))
        .arg("sh")
        .arg(std::env::current_exe().expect("the program runs"))
        .args(["--exact", test])
        .env(VARIABLE, disk.path());
    let ended = copy.output().expect("unshare is there");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    None
}
