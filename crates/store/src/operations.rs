//! Table `operations`: what was asked for and how it ended. Bounded: the oldest ended ones go.

use jiff::Timestamp;
use model::OperationState;
use rusqlite::{OptionalExtension, Row, Transaction, named_params};

use crate::sql::{millis, optional_time, signed, time, word};
use crate::{Store, StoreError};

/// How many operations the table keeps, apart from those that run.
const KEPT: u64 = 1000;

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// Id.
    pub id: String,
    /// What it does: `create`, `start`, …
    pub kind: String,
    /// Id of the VM it is about; that VM may be gone.
    pub vm: Option<String>,
    /// Where it stands.
    pub state: OperationState,
    /// Why it failed, as JSON.
    pub error: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it runs.
    pub ended_at: Option<Timestamp>,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Operations(Store);

impl Operations {
    pub(crate) fn new(store: Store) -> Self {
        Self(store)
    }

    /// Adds an operation; of the ended ones only the last thousand stay.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn insert(&self, row: OperationRow) -> Result<(), StoreError> {
        let job = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO operations (id, kind, vm, state, error, started_at, ended_at)
                 VALUES (:id, :kind, :vm, :state, :error, :started_at, :ended_at)",
            )?;
            statement.execute(named_params! {
                ":id": row.id,
                ":kind": row.kind,
                ":vm": row.vm,
                ":state": row.state.word(),
                ":error": row.error,
                ":started_at": millis(row.started_at),
                ":ended_at": row.ended_at.map(millis),
            })?;
            prune(transaction, KEPT)?;
            Ok(())
        };
        self.0.write("add an operation", job).await
    }

    /// Writes down how a running operation ended, and for which VM it turned out to be.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it is not there, or has ended already.
    pub async fn finish(
        &self,
        id: &str,
        state: OperationState,
        error: Option<String>,
        ended_at: Timestamp,
    ) -> Result<OperationRow, StoreError> {
        let id = id.to_owned();
        let job = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(
                "UPDATE operations SET state = :state, error = :error, ended_at = :ended_at
                 WHERE id = :id AND state = 'running' RETURNING *",
            )?;
            let values = named_params! {
                ":state": state.word(),
                ":error": error,
                ":ended_at": millis(ended_at),
                ":id": id,
            };
            let row = statement.query_row(values, read).optional()?;
            row.ok_or_else(|| {
                StoreError::NotFound {
                    table: "operations",
                    key: id,
                }
                .into()
            })
        };
        self.0.write("end an operation", job).await
    }

    /// The last `limit` operations, newest first.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn list(&self, limit: u32) -> Result<Vec<OperationRow>, StoreError> {
        let job = move |transaction: &Transaction<'_>| {
            let mut statement = transaction
                .prepare_cached("SELECT * FROM operations ORDER BY started_at DESC, id DESC LIMIT ?1")?;
            Ok(statement.query_map([limit], read)?.collect::<Result<_, _>>()?)
        };
        self.0.read("list the operations", job).await
    }

    /// Operations that have not ended, oldest first: after a start of the daemon, those that its last end cut off.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn unfinished(&self) -> Result<Vec<OperationRow>, StoreError> {
        let job = |transaction: &Transaction<'_>| {
            let mut statement = transaction
                .prepare_cached("SELECT * FROM operations WHERE state = 'running' ORDER BY started_at, id")?;
            Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
        };
        self.0.read("list the operations", job).await
    }

    /// Drops all ended operations but the last `keep`; says how many went.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn prune(&self, keep: u64) -> Result<usize, StoreError> {
        self.0
            .write("drop old operations", move |transaction| {
                Ok(prune(transaction, keep)?)
            })
            .await
    }
}

fn prune(transaction: &Transaction<'_>, keep: u64) -> rusqlite::Result<usize> {
    let mut statement = transaction.prepare_cached(
        "DELETE FROM operations WHERE id IN
             (SELECT id FROM operations WHERE state <> 'running' ORDER BY started_at DESC, id DESC
              LIMIT -1 OFFSET ?1)",
    )?;
    statement.execute([signed(keep)?])
}

fn read(row: &Row<'_>) -> rusqlite::Result<OperationRow> {
    Ok(OperationRow {
        id: row.get("id")?,
        kind: row.get("kind")?,
        vm: row.get("vm")?,
        state: word(row, "state")?,
        error: row.get("error")?,
        started_at: time(row, "started_at")?,
        ended_at: optional_time(row, "ended_at")?,
    })
}
