//! The handle of the store, and the thread that owns its connection.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::sql::JobError;
use crate::{Images, Kernels, Operations, StoreError, Vms, file, schema};

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The store. Clones share one connection; the file is closed when the last of them and all their jobs are gone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
    fails: OnceLock<WriteFault>,
}

/// Says of each write, by what it is for, whether it fails as on a full disk: for tests.
pub type WriteFault = Box<dyn Fn(&'static str) -> bool + Send + Sync>;

impl Store {
    /// Opens the file, makes it with mode 0600 if it is not there, and brings it to this program's version.
    ///
    /// Before a migration of an existing file a copy is left beside it as `<file>.before-<new version>`.
    ///
    /// # Errors
    /// [`StoreError`] with a [hint](StoreError::hint): the file is damaged, too new, not writable or in use.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, answer) = oneshot::channel();
        let of_thread = path.clone();
        let spawned = thread::Builder::new().name("store".to_owned()).spawn(move || {
            match open_connection(&of_thread) {
                Ok(mut connection) => {
                    // Nobody waits any more: the queue is closed too, and the loop below ends at once.
                    let _ = opened.send(Ok(()));
                    for job in queue {
                        job(&mut connection);
                    }
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        });
        spawned.map_err(|source| StoreError::File {
            action: "open",
            path: path.clone(),
            source,
        })?;
        answer.await.map_err(|_| StoreError::Closed)??;
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                jobs,
                fails: OnceLock::new(),
            }),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Has writes fail that a test says so of; the first such fault of a store counts.
    pub fn fail_writes_by(&self, fault: WriteFault) {
        let _ = self.shared.fails.set(fault);
    }

    /// VMs.
    #[must_use]
    pub fn vms(&self) -> Vms {
        Vms::new(self.clone())
    }

    /// Operations.
    #[must_use]
    pub fn operations(&self) -> Operations {
        Operations::new(self.clone())
    }

    /// Images.
    #[must_use]
    pub fn images(&self) -> Images {
        Images::new(self.clone())
    }

    /// Kernels.
    #[must_use]
    pub fn kernels(&self) -> Kernels {
        Kernels::new(self.clone())
    }

    /// Runs one job as one transaction that may write; `what` completes "cannot …".
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.shared.fails.get().is_some_and(|fails| fails(what)) {
            return Err(StoreError::Full {
                path: self.shared.path.clone(),
            });
        }
        // Taking the write lock at the start spares a transaction that read first from failing as busy.
        self.run(what, TransactionBehavior::Immediate, job).await
    }

    /// Runs one job that only reads, on one view of the data; `what` completes "cannot …".
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(what, TransactionBehavior::Deferred, job).await
    }

    async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        behavior: TransactionBehavior,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let run = move |connection: &mut Connection| {
            let result = in_transaction(connection, behavior, job);
            // The caller may have stopped waiting; the job is done all the same.
            let _ = done.send(result);
        };
        self.shared
            .jobs
            .send(Box::new(run))
            .map_err(|_| StoreError::Closed)?;
        match answer.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(JobError::Store(error))) => Err(error),
            Ok(Err(JobError::Sqlite(error))) => Err(StoreError::from_sqlite(error, &self.shared.path, what)),
            Err(_) => Err(StoreError::Closed),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

fn open_connection(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = file::open(path)?;
    schema::migrate(&mut connection, path)?;
    Ok(connection)
}

/// A job that fails leaves nothing of what it wrote.
fn in_transaction<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, JobError>,
) -> Result<T, JobError> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    let value = job(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_told_as_one_and_leaves_the_rows_readable() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("a.db")).await.unwrap();
        // A limit on the pages fails in the way that a full disk does.
        let limit = |pages: u32| {
            store.read("limit the file", move |transaction| {
                transaction.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
                Ok(())
            })
        };
        let add = |key: u32| {
            store.write("add a row", move |transaction| {
                transaction.execute(
                    "INSERT INTO kernels VALUES (?1, '', 0, '{}', 0)",
                    [key.to_string()],
                )?;
                let filler = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
                transaction.execute(
                    "UPDATE kernels SET source = ?2 WHERE name = ?1",
                    [key.to_string(), filler],
                )?;
                Ok(())
            })
        };
        add(1).await.unwrap();
        limit(1).await.unwrap();
        let error = add(2).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        let names: Vec<_> = store
            .kernels()
            .list()
            .await
            .unwrap()
            .into_iter()
            .map(|row| row.name)
            .collect();
        assert_eq!(names, ["1"], "what failed has left nothing");
        limit(1_000_000).await.unwrap();
        add(2).await.unwrap();
    }

    #[tokio::test]
    async fn a_job_that_fails_leaves_nothing_of_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("a.db")).await.unwrap();
        let failed: Result<(), _> = store
            .write("add and fail", |transaction| {
                transaction.execute("INSERT INTO kernels VALUES ('a', '', 0, '{}', 0)", [])?;
                Err(StoreError::Closed.into())
            })
            .await;
        assert!(failed.is_err());
        assert!(store.kernels().list().await.unwrap().is_empty());
    }
}
