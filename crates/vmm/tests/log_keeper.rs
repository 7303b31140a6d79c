//! The process that keeps the logs, by itself: what it keeps, and that it never makes a VMM wait.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

const LIMIT: usize = 1 << 20;

/// A keeper that reads the console from its standard input and finds the VMM's log at its end.
fn keeper(folder: &Path) -> (Child, ChildStdin) {
    let mut keeper = Command::new(env!("CARGO_BIN_EXE_vm-log-keeper"))
        .args(["banger-vm-logs", "0", "2"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    let console = keeper.stdin.take().unwrap();
    (keeper, console)
}

fn lines(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|number| format!("line {number:09}\n").into_bytes())
        .collect()
}

#[test]
fn the_newest_part_is_kept_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    // Of an earlier run of the machine.
    fs::write(folder.path().join("console.log.1"), "old").unwrap();
    for count in [1, 1000, 250_000] {
        let (mut keeper, mut console) = keeper(folder.path());
        let written = lines(count);
        console.write_all(&written).unwrap();
        drop(console);
        assert!(keeper.wait().unwrap().success());
        let kept = vmm::console_log(folder.path()).unwrap();
        assert!(written.ends_with(&kept), "{count}");
        assert!(
            kept.len() >= written.len().min(LIMIT) && kept.len() <= 2 * LIMIT,
            "{}",
            kept.len()
        );
    }
}

#[test]
fn a_writer_never_waits_for_a_folder_that_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("vm");
    fs::create_dir(&folder).unwrap();
    let (mut keeper, mut console) = keeper(&folder);
    fs::remove_dir_all(&folder).unwrap();
    console.write_all(&lines(250_000)).unwrap();
    drop(console);
    assert!(keeper.wait().unwrap().success());
}

#[test]
fn a_program_that_was_not_asked_to_keep_logs_goes_its_own_way() {
    let mut keeper = Command::new(env!("CARGO_BIN_EXE_vm-log-keeper"));
    assert_eq!(keeper.status().unwrap().code(), Some(1));
    let without = keeper
        .arg("banger-vm-logs")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(
        String::from_utf8(without.stderr)
            .unwrap()
            .contains("no descriptor was given")
    );
}
