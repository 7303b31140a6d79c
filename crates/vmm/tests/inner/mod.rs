//! A test of the same file, run as a process of its own: looked at from outside, or killed.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]
#![allow(dead_code, reason = "each file of tests uses what it needs")]

use std::path::Path;
use std::process::Command;

/// Where the process is to work.
const FOLDER: &str = "BANGER_TEST_INNER_FOLDER";

/// What runs the ignored test of that name, by `before` if that says something.
pub fn inner(before: &[&str], test: &str, folder: &Path) -> Command {
    let own = std::env::current_exe().unwrap();
    let mut command = match before {
        [] => Command::new(&own),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&own);
            command
        }
    };
    command
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder);
    command
}

/// The folder that an inner test is to work in.
pub fn folder() -> std::path::PathBuf {
    std::env::var_os(FOLDER)
        .expect("it is run by another test, not by itself")
        .into()
}
