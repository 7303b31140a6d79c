//! Table `images`: root file systems that are here, by name.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, named_params};

use crate::sql::{millis, name_taken, signed, time, unsigned};
use crate::{Store, StoreError};

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRow {
    /// Name, unique.
    pub name: String,
    /// Digest of its root file system.
    pub digest: String,
    /// Name of the kernel that boots it.
    pub kernel: String,
    /// Size of the root file system on the host.
    pub bytes: u64,
    /// Files, folders and links in it.
    pub entries: u64,
    /// Where it came from, as JSON.
    pub source: String,
    /// When it was fetched or built.
    pub created_at: Timestamp,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Images(Store);

impl Images {
    pub(crate) fn new(store: Store) -> Self {
        Self(store)
    }

    /// Adds an image; replaces none.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] where another has the name.
    pub async fn insert(&self, row: ImageRow) -> Result<(), StoreError> {
        let job = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO images (name, digest, kernel, bytes, entries, source, created_at)
                 VALUES (:name, :digest, :kernel, :bytes, :entries, :source, :created_at)",
            )?;
            let inserted = statement.execute(named_params! {
                ":name": row.name,
                ":digest": row.digest,
                ":kernel": row.kernel,
                ":bytes": signed(row.bytes)?,
                ":entries": signed(row.entries)?,
                ":source": row.source,
                ":created_at": millis(row.created_at),
            });
            inserted
                .map(|_| ())
                .map_err(|error| name_taken(error, "images.name", &row.name))
        };
        self.0.write("add an image", job).await
    }

    /// An image by its name.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn get(&self, name: &str) -> Result<Option<ImageRow>, StoreError> {
        let name = name.to_owned();
        let job = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached("SELECT * FROM images WHERE name = ?1")?;
            Ok(statement.query_row([name], read).optional()?)
        };
        self.0.read("read an image", job).await
    }

    /// Every image, by name.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn list(&self) -> Result<Vec<ImageRow>, StoreError> {
        let job = |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached("SELECT * FROM images ORDER BY name")?;
            Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
        };
        self.0.read("list the images", job).await
    }

    /// Takes an image's row away; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn delete(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let job = move |transaction: &Transaction<'_>| {
            Ok(transaction
                .prepare_cached("DELETE FROM images WHERE name = ?1")?
                .execute([name])?
                > 0)
        };
        self.0.write("delete an image", job).await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<ImageRow> {
    Ok(ImageRow {
        name: row.get("name")?,
        digest: row.get("digest")?,
        kernel: row.get("kernel")?,
        bytes: unsigned(row, "bytes")?,
        entries: unsigned(row, "entries")?,
        source: row.get("source")?,
        created_at: time(row, "created_at")?,
    })
}
