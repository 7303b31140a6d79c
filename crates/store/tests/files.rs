//! What becomes of the file: versions, damage, crashes, modes.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Fresh, vm};
use model::VmState;
use rusqlite::Connection;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use store::{Compatibility, Pending, Store, StoreError, check};

/// Every file of a folder with its bytes.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn newest_version() -> u32 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("banger.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Store::open(&path)).unwrap();
    version(&path)
}

fn version(path: &Path) -> u32 {
    Connection::open(path)
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn a_file_of_every_version_that_ever_was_opens_with_its_rows() {
    let newest = tokio::task::spawn_blocking(newest_version).await.unwrap();
    for past in 1..=newest {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v{past}.sql"));
        let sql = fs::read_to_string(&fixture)
            .unwrap_or_else(|error| panic!("version {past} needs a fixture {}: {error}", fixture.display()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("banger.db");
        Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
        assert_eq!(version(&path), past);
        let expected = if past == newest {
            Compatibility::Compatible
        } else {
            Compatibility::WillMigrate
        };
        assert_eq!(check(&path).unwrap(), expected);

        let store = Store::open(&path).await.unwrap();
        let row = &store.vms().list().await.unwrap()[0];
        assert_eq!(
            (row.name.as_str(), row.state, row.env["LANG"].as_str()),
            ("quick-otter", VmState::Running, "C.UTF-8")
        );
        let ports: Vec<u16> = row.publish.iter().map(|port| port.host).collect();
        assert_eq!(ports, if past < 3 { vec![] } else { vec![8080] });
        let reboots = row.reboots.as_ref().map(|reboots| reboots.times);
        assert_eq!(reboots, if past < 7 { None } else { Some(2) });
        assert_eq!(row.process.is_some(), past >= 8);
        assert_eq!(row.pending, (past >= 9).then_some(Pending::Delete));
        assert_eq!(store.images().list().await.unwrap()[0].entries, 21_800);
        assert_eq!(store.kernels().list().await.unwrap()[0].name, "debian-cloud");
        assert!(store.operations().list(10).await.unwrap()[0].error.is_some());
        assert_eq!(check(&path).unwrap(), Compatibility::Compatible);
    }
}

#[tokio::test]
async fn checking_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with space %41?&#.db");
    assert_eq!(check(&path).unwrap(), Compatibility::WillMigrate);
    assert!(contents(folder.path()).is_empty(), "a missing file stays missing");

    let store = Store::open(&path).await.unwrap();
    store.vms().insert(vm("1", "a")).await.unwrap();
    let before = contents(folder.path());
    assert_eq!(before.len(), 3, "the log is there while the store is open");
    assert_eq!(check(&path).unwrap(), Compatibility::Compatible);
    let data = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<_> {
        files
            .into_iter()
            .filter(|(path, _)| !path.to_string_lossy().ends_with("-shm"))
            .collect()
    };
    assert_eq!(data(contents(folder.path())), data(before));
}

#[test]
fn checking_a_closed_store_makes_no_file_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("banger.db");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1.sql");
    Connection::open(&path)
        .unwrap()
        .execute_batch(&fs::read_to_string(fixture).unwrap())
        .unwrap();
    let before = contents(folder.path());
    check(&path).unwrap();
    assert_eq!(contents(folder.path()), before);
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("banger.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE t (a); PRAGMA user_version = 99;")
        .unwrap();
    assert_eq!(check(&path).unwrap(), Compatibility::TooNew);
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("has version 99"), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(version(&path), 99);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("banger.db");
    for bytes in [
        &b"not a database, but long enough to have a header of its own: ".repeat(40)[..],
        b"short",
    ] {
        fs::write(&path, bytes).unwrap();
        for error in [Store::open(&path).await.unwrap_err(), check(&path).unwrap_err()] {
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert!(error.hint().unwrap().contains("move"), "{error:?}");
        }
        assert_eq!(
            fs::read(&path).unwrap(),
            bytes,
            "what is there is left for the user"
        );
    }
}

#[tokio::test]
async fn a_database_with_damaged_pages_is_refused() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1.sql");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("banger.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(&fs::read_to_string(fixture).unwrap())
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(check(&path), Err(StoreError::Corrupt { .. })));
    assert!(matches!(
        Store::open(&path).await,
        Err(StoreError::Corrupt { .. })
    ));
}

#[tokio::test]
async fn the_file_and_what_lies_beside_it_are_the_owners_only() {
    let fresh = Fresh::new().await;
    fresh.store.vms().insert(vm("1", "a")).await.unwrap();
    let modes = || -> Vec<_> {
        let entries = fs::read_dir(fresh.folder.path()).unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                (
                    entry.path(),
                    entry.metadata().unwrap().permissions().mode() & 0o777,
                )
            })
            .collect()
    };
    assert_eq!(modes().len(), 3);
    assert!(modes().iter().all(|(_, mode)| *mode == 0o600), "{:?}", modes());
    fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o644)).unwrap();
    Store::open(fresh.path()).await.unwrap();
    assert!(modes().iter().all(|(_, mode)| *mode == 0o600), "{:?}", modes());
}

#[test]
fn a_file_that_may_not_be_written_is_named() {
    // Root may write anything, so this thread, and the store's that it starts, give that up.
    let mut sets = capabilities(None).unwrap();
    sets.effective
        .remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER);
    set_capabilities(None, sets).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("banger.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Store::open(&path)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let error = runtime.block_on(Store::open(&path)).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("writable"));
    assert_eq!(check(&path).unwrap(), Compatibility::Compatible);

    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let error = runtime
        .block_on(Store::open(folder.path().join("other.db")))
        .unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_path_in_no_folder_or_to_a_folder_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none/banger.db"), folder.path().to_owned()] {
        let error = Store::open(&path).await.unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

/// Runs this very test again as a child that writes until it is killed.
#[test]
fn a_store_whose_process_is_killed_in_mid_write_has_every_acknowledged_row() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    if let Some(path) = std::env::var_os("STORE_TEST_WRITES_TO") {
        runtime.block_on(async {
            let store = Store::open(PathBuf::from(path)).await.unwrap();
            for n in 0.. {
                let mut row = vm(&n.to_string(), &format!("vm-{n}"));
                row.env.insert("PADDING".to_owned(), "x".repeat(10_000));
                store.vms().insert(row).await.unwrap();
                println!("\nacknowledged {n}");
            }
        });
    }
    for round in [1, 30, 120] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("banger.db");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_store_whose_process_is_killed_in_mid_write_has_every_acknowledged_row",
                "--nocapture",
            ])
            .env("STORE_TEST_WRITES_TO", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let mut acknowledged = 0;
        while acknowledged < round {
            let line = lines.next().expect("the child writes until it is killed");
            acknowledged += u64::from(line.starts_with("acknowledged "));
        }
        child.kill().unwrap();
        acknowledged += lines.filter(|line| line.starts_with("acknowledged ")).count() as u64;
        child.wait().unwrap();

        assert_eq!(check(&path).unwrap(), Compatibility::Compatible);
        let rows = runtime.block_on(async { Store::open(&path).await.unwrap().vms().list().await.unwrap() });
        assert!(
            rows.len() as u64 >= acknowledged,
            "{} rows, {acknowledged} acknowledged",
            rows.len()
        );
        assert!(
            rows.iter().all(|row| row.env["PADDING"].len() == 10_000),
            "no half of a row"
        );
    }
}
