//! Table `images`: root file systems that are here, by name.

use jiff::Timestamp;
use model::{BootWay, ImageKind};
use rusqlite::{OptionalExtension, Row, Transaction, named_params};

use crate::sql::{millis, name_taken, signed, time, unsigned, word};
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
    /// How it came here.
    pub kind: ImageKind,
    /// Its full name in a registry, if it came from one.
    pub reference: Option<String>,
    /// What it says about running it, as JSON, if it says anything.
    pub config: Option<String>,
    /// The user's file, of one that is registered.
    pub path: Option<String>,
    /// How a VM boots it.
    pub boot: BootWay,
    /// Digest of the archive that a VM's `/root` gets at its first start.
    pub work_seed: Option<String>,
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
            insert(transaction, &row).map_err(|error| name_taken(error, "images.name", &row.name))
        };
        self.0.write("add an image", job).await
    }

    /// Puts an image in the place of the one that has its name, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn replace(&self, row: ImageRow) -> Result<(), StoreError> {
        let job = move |transaction: &Transaction<'_>| {
            transaction
                .prepare_cached("DELETE FROM images WHERE name = ?1")?
                .execute([&row.name])?;
            Ok(insert(transaction, &row)?)
        };
        self.0.write("replace an image", job).await
    }

    /// The newest image that came from a registry under this full name.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn by_reference(&self, reference: &str) -> Result<Option<ImageRow>, StoreError> {
        let reference = reference.to_owned();
        let job = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(
                "SELECT * FROM images WHERE reference = ?1 ORDER BY created_at DESC, name LIMIT 1",
            )?;
            Ok(statement.query_row([reference], read).optional()?)
        };
        self.0.read("read an image", job).await
    }

    /// An image that is registered, by the digest of its root file system.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn registered(&self, digest: &str) -> Result<Option<ImageRow>, StoreError> {
        let digest = digest.to_owned();
        let job = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(
                "SELECT * FROM images WHERE digest = ?1 AND kind = 'registered' ORDER BY name LIMIT 1",
            )?;
            Ok(statement.query_row([digest], read).optional()?)
        };
        self.0.read("read an image", job).await
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

fn insert(transaction: &Transaction<'_>, row: &ImageRow) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO images (name, digest, kernel, bytes, entries, source, created_at, kind, reference, config,
                             path, boot, work_seed)
         VALUES (:name, :digest, :kernel, :bytes, :entries, :source, :created_at, :kind, :reference, :config,
                 :path, :boot, :work_seed)",
    )?;
    statement.execute(named_params! {
        ":name": row.name,
        ":digest": row.digest,
        ":kernel": row.kernel,
        ":bytes": signed(row.bytes)?,
        ":entries": signed(row.entries)?,
        ":source": row.source,
        ":created_at": millis(row.created_at),
        ":kind": row.kind.word(),
        ":reference": row.reference,
        ":config": row.config,
        ":path": row.path,
        ":boot": row.boot.word(),
        ":work_seed": row.work_seed,
    })?;
    Ok(())
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
        kind: word(row, "kind")?,
        reference: row.get("reference")?,
        config: row.get("config")?,
        path: row.get("path")?,
        boot: word(row, "boot")?,
        work_seed: row.get("work_seed")?,
    })
}
