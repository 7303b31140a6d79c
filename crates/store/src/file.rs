//! The database file: made private, opened with every setting, backed up before a migration.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

/// How long a statement waits for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the file for reading and writing, and makes it if it is not there.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    make_private(path).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly {
            path: path.to_owned(),
        },
        _ => StoreError::File {
            action: "open",
            path: path.to_owned(),
            source,
        },
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })?;
    let configured = configure(&connection);
    configured.map_err(|source| StoreError::from_sqlite(source, path, "configure the store"))?;
    require_intact(&connection, path)?;
    Ok(connection)
}

/// Makes the file, or takes away what others may do with it. Its `-wal` and `-shm` get the same mode from SQLite.
fn make_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(mode & 0o700))?;
    }
    Ok(())
}

/// Settings last as long as a connection does: there is one, and it gets all of them here.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
    // A row that was acknowledged is there after a power cut.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A file from elsewhere must not run functions through its schema.
    connection.pragma_update(None, "trusted_schema", false)
}

/// Fails unless every page of the file reads well. The tables are small.
pub fn require_intact(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| StoreError::from_sqlite(source, path, "check the store"))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(StoreError::Corrupt {
            path: path.to_owned(),
            detail: found.replace('\n', " "),
        })
    }
}

/// Opens an existing file so that nothing of it changes.
pub fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    // Without a log beside it the file is all there is, and SQLite can be kept from making one.
    let log = with_suffix(path, "-wal");
    let immutable = !log.metadata().is_ok_and(|log| log.len() > 0);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str(if immutable { "?immutable=1" } else { "?mode=ro" });
    let connection = Connection::open_with_flags(uri, flags)
        .map_err(|source| StoreError::from_sqlite(source, path, "open the store"))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .map_err(|source| StoreError::Open {
            path: path.to_owned(),
            source,
        })?;
    Ok(connection)
}

/// Writes a consistent copy to `<path>.before-<version>`, replacing one of an earlier try.
pub fn back_up(connection: &Connection, path: &Path, version: u32) -> Result<PathBuf, StoreError> {
    let copy = with_suffix(path, &format!(".before-{version}"));
    let half = with_suffix(&copy, ".tmp");
    let failed = |source| StoreError::File {
        action: "back up the store to",
        path: copy.clone(),
        source,
    };
    // SQLite vacuums into an empty file as well as into none, so the mode is ours from the start.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&half)
        .map_err(failed)?;
    connection
        .execute("VACUUM INTO ?1", [half.to_string_lossy()])
        .map_err(|source| StoreError::from_sqlite(source, path, "back up the store"))?;
    File::open(&half)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    fs::rename(&half, &copy).map_err(failed)?;
    if let Some(folder) = copy.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
    }
    Ok(copy)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_has_every_setting() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder.path().join("a.db")).unwrap();
        let text = |name: &str| -> String {
            connection
                .pragma_query_value(None, name, |row| row.get(0))
                .unwrap()
        };
        let number = |name: &str| -> i64 {
            connection
                .pragma_query_value(None, name, |row| row.get(0))
                .unwrap()
        };
        assert_eq!(text("journal_mode"), "wal");
        assert_eq!(number("synchronous"), 2);
        assert_eq!(number("foreign_keys"), 1);
        assert_eq!(number("busy_timeout"), 5000);
        assert_eq!(number("trusted_schema"), 0);
    }
}
