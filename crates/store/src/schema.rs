//! Versions of the database: which one a file has, and the way to the newest.
//!
//! A migration that has been released is never changed: a change is a new file under `migrations/`, an entry
//! in [`MIGRATIONS`], and a fixture of the version before it.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};
use rusqlite_migration::{M, Migrations};

use crate::{StoreError, file};

/// Every migration, oldest first; a file's version is how many of them it has seen.
const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001_first.sql")),
    M::up(include_str!("migrations/0002_image_origin.sql")),
    M::up(include_str!("migrations/0003_publish.sql")),
    M::up(include_str!("migrations/0004_registered.sql")),
    M::up(include_str!("migrations/0005_built.sql")),
    M::up(include_str!("migrations/0006_boot.sql")),
    M::up(include_str!("migrations/0007_reboots.sql")),
    M::up(include_str!("migrations/0008_process.sql")),
    M::up(include_str!("migrations/0009_pending.sql")),
];

/// What opening a file would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// It has this program's version.
    Compatible,
    /// It is older, or not there yet: opening brings it to this program's version.
    WillMigrate,
    /// A later program wrote it: it cannot be opened.
    TooNew,
}

/// Tells what [`crate::Store::open`] would do, and changes nothing.
///
/// # Errors
/// [`StoreError`] for a file that cannot be read or is damaged.
pub fn check(path: &Path) -> Result<Compatibility, StoreError> {
    match path.metadata() {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Compatibility::WillMigrate);
        }
        Err(source) => {
            return Err(StoreError::File {
                action: "read",
                path: path.to_owned(),
                source,
            });
        }
        Ok(metadata) if metadata.len() == 0 => return Ok(Compatibility::WillMigrate),
        Ok(_) => {}
    }
    let connection = file::open_read_only(path)?;
    file::require_intact(&connection, path)?;
    let (found, known) = (version(&connection, path)?, newest(MIGRATIONS));
    Ok(match found.cmp(&known) {
        std::cmp::Ordering::Less => Compatibility::WillMigrate,
        std::cmp::Ordering::Equal => Compatibility::Compatible,
        std::cmp::Ordering::Greater => Compatibility::TooNew,
    })
}

/// Brings an open database to the newest version; one that had rows is backed up first.
pub fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    migrate_to(connection, path, MIGRATIONS)
}

fn migrate_to(connection: &mut Connection, path: &Path, migrations: &[M<'_>]) -> Result<(), StoreError> {
    let (from, to) = (version(connection, path)?, newest(migrations));
    if from > to {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found: from,
            known: to,
        });
    }
    if from == to {
        return Ok(());
    }
    if from > 0 {
        let copy = file::back_up(connection, path, to)?;
        tracing::info!(from, to, copy = %copy.display(), "migrating the store");
    }
    Migrations::from_slice(migrations)
        .to_latest(connection)
        .map_err(|source| {
            let path = path.to_owned();
            match &source {
                rusqlite_migration::Error::RusqliteError { err, .. }
                    if err.sqlite_error_code() == Some(ErrorCode::DiskFull) =>
                {
                    StoreError::Full { path }
                }
                _ => StoreError::Migrate {
                    path,
                    from,
                    to,
                    source: Box::new(source),
                },
            }
        })
}

fn version(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|source| StoreError::from_sqlite(source, path, "read the store's version"))?;
    u32::try_from(version).map_err(|_| StoreError::Corrupt {
        path: path.to_owned(),
        detail: format!("version {version}"),
    })
}

fn newest(migrations: &[M<'_>]) -> u32 {
    u32::try_from(migrations.len()).expect("there are fewer migrations than four thousand million")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: &[M<'static>] = &[
        M::up("CREATE TABLE t (a) STRICT;"),
        M::up("ALTER TABLE t ADD COLUMN b INTEGER NOT NULL DEFAULT 7;"),
    ];

    /// A database of version 1 with one row.
    fn older(path: &Path) -> Connection {
        let mut connection = file::open(path).unwrap();
        let first = &[M::up(
            "CREATE TABLE t (a INTEGER) STRICT; INSERT INTO t VALUES (1);",
        )];
        migrate_to(&mut connection, path, first).unwrap();
        connection
    }

    #[test]
    fn the_migrations_are_valid_from_an_empty_file() {
        Migrations::from_slice(MIGRATIONS).validate().unwrap();
    }

    #[test]
    fn a_new_file_is_not_backed_up() {
        let folder = tempfile::tempdir().unwrap();
        older(&folder.path().join("a.db"));
        let names: Vec<_> = folder
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(
            !names.iter().any(|name| name.to_string_lossy().contains("before")),
            "{names:?}"
        );
    }

    #[test]
    fn a_migration_leaves_a_private_copy_from_before_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let copy = folder.path().join("a.db.before-2");
        std::fs::write(&copy, "from a try that was cut off").unwrap();
        let mut connection = older(&path);
        migrate_to(&mut connection, &path, LATER).unwrap();
        let b: i64 = connection
            .query_row("SELECT b FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(b, 7);
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let before = Connection::open(&copy).unwrap();
        assert_eq!(version(&before, &copy).unwrap(), 1);
        assert_eq!(
            before
                .query_row("SELECT a FROM t", [], |row| row.get::<_, i64>(0))
                .unwrap(),
            1
        );
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_and_rows_it_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut connection = older(&path);
        let broken = &[LATER[0].clone(), M::up("DELETE FROM t; CREATE NONSENSE;")];
        let error = migrate_to(&mut connection, &path, broken).unwrap_err();
        assert!(
            matches!(error, StoreError::Migrate { from: 1, to: 2, .. }),
            "{error:?}"
        );
        assert_eq!(version(&connection, &path).unwrap(), 1);
        assert_eq!(
            connection
                .query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
                .unwrap(),
            1
        );
    }
}
