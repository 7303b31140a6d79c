//! Versions of the database: which one a file has, and the way to the newest.
//!
//! A migration that has been released is never changed: a change is a new file under `migrations/`, an entry
//! in [`MIGRATIONS`], and a fixture of the version before it.

use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use crate::{StoreError, file};

/// Every migration, oldest first; a file's version is how many of them it has seen.
const MIGRATIONS: &[M<'static>] = &[M::up(include_str!("migrations/0001_first.sql"))];

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
        .map_err(|source| StoreError::Migrate {
            path: path.to_owned(),
            from,
            to,
            source: Box::new(source),
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
