//! Table `kernels`: boot artefacts that are here, by name.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, named_params};

use crate::sql::{millis, name_taken, signed, time, unsigned};
use crate::{Store, StoreError};

/// A kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRow {
    /// Name, unique.
    pub name: String,
    /// Version: the release that the running kernel tells.
    pub version: String,
    /// Size of all its files on the host.
    pub bytes: u64,
    /// Where it came from, as JSON.
    pub source: String,
    /// When it was fetched.
    pub created_at: Timestamp,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Kernels(Store);

impl Kernels {
    pub(crate) fn new(store: Store) -> Self {
        Self(store)
    }

    /// Adds a kernel; replaces none.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] where another has the name.
    pub async fn insert(&self, row: KernelRow) -> Result<(), StoreError> {
        let job = move |transaction: &Transaction<'_>| {
            insert(transaction, &row).map_err(|error| name_taken(error, "kernels.name", &row.name))
        };
        self.0.write("add a kernel", job).await
    }

    /// Puts a kernel in the place of the one that has its name, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn replace(&self, row: KernelRow) -> Result<(), StoreError> {
        let job = move |transaction: &Transaction<'_>| {
            transaction
                .prepare_cached("DELETE FROM kernels WHERE name = ?1")?
                .execute([&row.name])?;
            Ok(insert(transaction, &row)?)
        };
        self.0.write("replace a kernel", job).await
    }

    /// A kernel by its name.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn get(&self, name: &str) -> Result<Option<KernelRow>, StoreError> {
        let name = name.to_owned();
        let job = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached("SELECT * FROM kernels WHERE name = ?1")?;
            Ok(statement.query_row([name], read).optional()?)
        };
        self.0.read("read a kernel", job).await
    }

    /// Every kernel, by name.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn list(&self) -> Result<Vec<KernelRow>, StoreError> {
        let job = |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached("SELECT * FROM kernels ORDER BY name")?;
            Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
        };
        self.0.read("list the kernels", job).await
    }

    /// Takes a kernel's row away; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn delete(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let job = move |transaction: &Transaction<'_>| {
            Ok(transaction
                .prepare_cached("DELETE FROM kernels WHERE name = ?1")?
                .execute([name])?
                > 0)
        };
        self.0.write("delete a kernel", job).await
    }
}

fn insert(transaction: &Transaction<'_>, row: &KernelRow) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO kernels (name, version, bytes, source, created_at)
         VALUES (:name, :version, :bytes, :source, :created_at)",
    )?;
    statement.execute(named_params! {
        ":name": row.name,
        ":version": row.version,
        ":bytes": signed(row.bytes)?,
        ":source": row.source,
        ":created_at": millis(row.created_at),
    })?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<KernelRow> {
    Ok(KernelRow {
        name: row.get("name")?,
        version: row.get("version")?,
        bytes: unsigned(row, "bytes")?,
        source: row.get("source")?,
        created_at: time(row, "created_at")?,
    })
}
