//! Room on the host's disk: a reserve that imports and guests leave free.
//!
//! A disk that is full to the last block takes the daemon's store, other programs and every guest down with it. What
//! makes something of its own (an import, a build, a start) is looked at while it goes on, and given up below the reserve;
//! guests that write are paused ([`crate::vms`]).

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Size;

use crate::EngineError;
use crate::operations::OperationHandle;

/// The most that is kept free where nothing is configured, and the part of the file system that is if that is less.
const MOST: u64 = 2 << 30;
const PART: u64 = 20;
/// How often what is being made is looked at. A look takes a microsecond.
const LOOK: Duration = Duration::from_millis(50);

/// How much is left, and how much shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes that this user can still write.
    pub(crate) free: u64,
    /// Bytes to leave free.
    pub(crate) reserve: u64,
}

impl Room {
    pub(crate) fn is_short(self) -> bool {
        self.free < self.reserve
    }
}

/// Less is free than is to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NoRoom {
    folder: PathBuf,
    free: u64,
    reserve: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| Size::from_bytes(bytes >> 20 << 20);
        write!(
            f,
            "the disk of {} has {} free, and {} are kept free",
            self.folder.display(),
            mib(self.free),
            mib(self.reserve)
        )
    }
}

/// The reserve of the file systems that the daemon writes to.
#[derive(Clone, Debug)]
pub(crate) struct Reserve {
    /// Bytes, where they are configured.
    configured: Option<u64>,
    folders: Vec<PathBuf>,
}

impl Reserve {
    /// Of the file systems of these folders.
    pub(crate) fn new(configured: Option<u64>, folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut known = Vec::new();
        let folders = folders.into_iter().filter(|folder| {
            let device = fs::metadata(folder).map(|about| about.dev()).ok();
            let is_new = !known.contains(&device);
            known.push(device);
            is_new || device.is_none()
        });
        Self {
            configured,
            folders: folders.collect(),
        }
    }

    /// The room of a folder's file system. Where it cannot be told nothing is held back.
    pub(crate) fn of(&self, folder: &Path) -> Room {
        let Ok(about) = rustix::fs::statvfs(folder) else {
            return Room {
                free: u64::MAX,
                reserve: 0,
            };
        };
        let size = about.f_blocks.saturating_mul(about.f_frsize);
        Room {
            free: about.f_bavail.saturating_mul(about.f_frsize),
            reserve: self.configured.unwrap_or_else(|| MOST.min(size / PART)),
        }
    }

    /// Whether there is room, for so many bytes more.
    ///
    /// # Errors
    /// [`NoRoom`] names the folder.
    pub(crate) fn check(&self, more: u64) -> Result<(), NoRoom> {
        for folder in &self.folders {
            let Room { free, reserve } = self.of(folder);
            if free < reserve.saturating_add(more) && reserve > 0 {
                return Err(NoRoom {
                    folder: folder.clone(),
                    free,
                    reserve,
                });
            }
        }
        Ok(())
    }

    async fn runs_out(&self) -> NoRoom {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(no_room) = self.check(0) {
                return no_room;
            }
        }
    }

    /// Carries out what writes to the disk, and gives it up where the reserve is reached: by the operation's own
    /// cancelling, so that nothing of it is left.
    pub(crate) async fn guard<T>(
        &self,
        operation: &OperationHandle,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        self.check(0)?;
        let mut work = std::pin::pin!(work);
        let no_room = tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            no_room = self.runs_out() => no_room,
        };
        tracing::warn!(operation = operation.id(), %no_room, "given up");
        operation.give_up_for_room();
        match work.await {
            Err(EngineError::Cancelled) => Err(no_room.into()),
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_a_part_of_the_disk_and_never_more_than_two_gibibytes() {
        let folder = tempfile::tempdir().unwrap();
        let of = |configured| Reserve::new(configured, [folder.path().to_owned()]).of(folder.path());
        let about = rustix::fs::statvfs(folder.path()).unwrap();
        let size = about.f_blocks * about.f_frsize;
        assert_eq!(of(None).reserve, (size / 20).min(2 << 30));
        assert_eq!(of(Some(7)).reserve, 7);
        assert!(!of(Some(0)).is_short());
        assert!(of(Some(u64::MAX)).is_short());
    }

    #[test]
    fn what_is_short_is_said_with_the_folder_what_is_free_and_what_is_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(
            Some(1 << 60),
            [folder.path().to_owned(), folder.path().to_owned()],
        );
        assert_eq!(reserve.folders.len(), 1);
        let line = reserve.check(0).unwrap_err().to_string();
        assert!(
            line.starts_with(&format!("the disk of {} has ", folder.path().display())),
            "{line}"
        );
        assert!(line.ends_with(" are kept free"), "{line}");
        let none = Reserve::new(Some(0), [folder.path().to_owned()]);
        assert_eq!(none.check(u64::MAX), Ok(()));
    }
}
