//! Homes that the daemon cannot work in, and state that it cannot use.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::Home;

/// What `ps` says where the daemon cannot start: nothing on stdout, then one line and a hint. Nothing runs after it.
fn refused(home: &Home, command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(1), &b""[..]),
        "{err}"
    );
    assert_eq!(home.daemons(), []);
    let (message, hint) = err
        .trim_end()
        .split_once('\n')
        .unwrap_or_else(|| panic!("no hint: {err}"));
    let hint = hint.strip_prefix("hint: ").unwrap_or_else(|| panic!("{err}"));
    assert!(!hint.contains('\n'), "{err}");
    (
        message.strip_prefix("banger: ").unwrap().to_owned(),
        hint.to_owned(),
    )
}

/// `ps` in a home that is a file system of its own, mounted with these options for this command alone, and filled up to
/// its last byte if asked.
fn mounted(home: &Home, options: &str, fill: bool) -> Command {
    let script = "mount -t tmpfs -o \"$1\" none \"$HOME\"; \
                  if [ \"$2\" = fill ]; then cat /dev/zero > \"$HOME/filling\" 2> /dev/null || true; fi; \
                  shift 2; exec \"$@\"";
    let inner = home.command(&["ps"]);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]);
    command.args([options, if fill { "fill" } else { "leave" }]);
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear();
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap());
    }
    // The runtime folder lies elsewhere, as it does on a system that has one.
    command.env("XDG_RUNTIME_DIR", home.path());
    command
}

#[test]
fn a_home_that_is_not_set_is_said_with_what_to_set() {
    let home = Home::new();
    for value in [None, Some(""), Some("somewhere")] {
        let mut command = home.command(&["ps"]);
        match value {
            Some(value) => command.env("HOME", value),
            None => command.env_remove("HOME"),
        };
        let (message, hint) = refused(&home, &mut command);
        assert!(
            message.contains("HOME is not set to an absolute path"),
            "{message}"
        );
        assert!(hint.starts_with("set HOME"), "{hint}");
    }
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[test]
fn a_folder_whose_name_cannot_be_written_down_is_refused_before_anything_is_made() {
    let home = Home::new();
    for name in [&b"\xff"[..], b"a\nb"] {
        let mut command = home.command(&["ps"]);
        command.env("XDG_RUNTIME_DIR", home.path().join(OsStr::from_bytes(name)));
        let (message, hint) = refused(&home, &mut command);
        assert!(
            message.contains("names of banger's folders are UTF-8"),
            "{message}"
        );
        assert!(hint.contains("XDG_RUNTIME_DIR"), "{hint}");
    }
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[test]
fn a_home_that_cannot_be_written_to_is_named_with_what_to_do() {
    let home = Home::new();
    let (message, hint) = refused(&home, &mut mounted(&home, "ro", false));
    assert!(
        message.contains(".local/state/banger: Read-only file system"),
        "{message}"
    );
    assert!(hint.contains("XDG_STATE_HOME"), "{hint}");
}

#[test]
fn a_home_that_is_full_is_said_to_be() {
    let home = Home::new();
    // There is no room at all, or none for the tables.
    for (size, fill) in [("size=16k", true), ("size=64k", false)] {
        let (message, hint) = refused(&home, &mut mounted(&home, size, fill));
        assert!(
            message.contains("no room left") || message.contains("No space left"),
            "{message}"
        );
        assert_eq!(hint, "free some disk space");
    }
}

/// A home with a database of these bytes, which is given.
fn with_database(bytes: &[u8]) -> (Home, PathBuf) {
    let home = Home::new();
    let state = home.path().join(".local/state/banger");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&state)
        .unwrap();
    let database = state.join("banger.db");
    fs::write(&database, bytes).unwrap();
    (home, database)
}

/// A database without tables, with a write-ahead log, whose `user_version` is this (SQLite's file format, 1.3 and 1.6).
fn of_version(version: u32) -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..24].copy_from_slice(&[0x10, 0, 2, 2, 0, 64, 32, 32]);
    // Its changes, and its pages; both are those of the last writer.
    for (at, value) in [(24, 1), (28, 1), (44, 4), (56, 1), (60, version), (92, 1)] {
        page[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    // The only page is a leaf without cells.
    page[100..108].copy_from_slice(&[0x0d, 0, 0, 0, 0, 0x10, 0, 0]);
    page
}

#[test]
fn a_state_folder_of_a_newer_version_is_left_alone() {
    let newer = of_version(99);
    let (home, database) = with_database(&newer);
    let (message, hint) = refused(&home, &mut home.command(&["ps"]));
    assert!(
        message.contains("has version 99, this banger knows up to"),
        "{message}"
    );
    assert_eq!(hint, "run the newer banger that wrote it");
    assert!(fs::read(&database).unwrap() == newer, "it was written to");
    assert!(home.run(&["doctor"]).1.contains("version 99"));
    // What was refused is its version and nothing else.
    fs::write(&database, of_version(0)).unwrap();
    assert_eq!(home.run(&["ps"]).0, Some(0));
}

#[test]
fn a_damaged_store_is_named_and_left_alone() {
    let damaged = vec![0xa5; 20_000];
    let (home, database) = with_database(&damaged);
    let (message, hint) = refused(&home, &mut home.command(&["ps"]));
    assert!(message.contains("banger.db is damaged"), "{message}");
    assert!(hint.contains("put a copy back"), "{hint}");
    assert!(fs::read(&database).unwrap() == damaged, "it was written to");
}
