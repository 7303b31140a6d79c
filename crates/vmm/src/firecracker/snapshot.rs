//! A paused machine on disk: `state`, its processors and devices, and `memory`.
//!
//! Neither holds a path that leads out of the machine's world, so another VM's machine can go on from them. Its
//! drives have to be as they were.

mod holes;

use std::fs;
use std::path::{Path, PathBuf};

use super::api::Api;
use super::requests::{CreateSnapshot, LoadSnapshot, MemoryBackend};
use super::world::{RUN, in_folder};
use crate::{Folder, VmmError};

const STATE: &str = "state";
const MEMORY: &str = "memory";

/// The files of a snapshot as parts of a machine's world; the memory is mapped as it is and never written.
pub(super) fn parts(snapshot: &Path) -> [(String, PathBuf, bool); 2] {
    [STATE, MEMORY].map(|name| (name.to_owned(), snapshot.join(name), true))
}

/// Writes both files, then moves them into a folder of the same file system. Of the memory, what the guest has not
/// touched takes no space there.
pub(super) async fn create(api: &mut Api, folder: &Folder, into: &Path) -> Result<(), VmmError> {
    let request = CreateSnapshot {
        snapshot_type: "Full",
        snapshot_path: format!("{RUN}/{STATE}"),
        mem_file_path: format!("{RUN}/{MEMORY}"),
    };
    let taken = async {
        api.put("/snapshot/create", &request).await?;
        [STATE, MEMORY].into_iter().try_for_each(|name| {
            let path = into.join(name);
            fs::rename(written(folder, name), &path).map_err(|source| VmmError::File {
                action: "write",
                path,
                source,
            })
        })
    };
    let taken = taken.await;
    if taken.is_err() {
        for name in [STATE, MEMORY] {
            // Half of one is none. What cannot be removed here goes with the machine.
            let _ = fs::remove_file(written(folder, name));
            let _ = fs::remove_file(into.join(name));
        }
        return taken;
    }
    let memory = into.join(MEMORY);
    let dug = tokio::task::spawn_blocking(move || holes::dig(&memory)).await;
    if let Ok(Err(error)) = dug {
        // As good a snapshot, but a larger one.
        tracing::warn!(%error, "a snapshot's memory keeps its zeros");
    }
    taken
}

/// Goes on from the snapshot among the machine's parts.
pub(super) async fn load(api: &mut Api) -> Result<(), VmmError> {
    let request = LoadSnapshot {
        snapshot_path: STATE,
        mem_backend: MemoryBackend {
            backend_type: "File",
            backend_path: MEMORY,
        },
        resume_vm: true,
    };
    api.put("/snapshot/load", &request).await
}

fn written(folder: &Folder, name: &str) -> PathBuf {
    folder.path().join(in_folder(RUN)).join(name)
}
