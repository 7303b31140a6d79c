//! The VMM of a VM as its row names it: for when the VM's folder, which would tell of it, is gone or cannot be read.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use process::{Identity, ProcessError, Signal};
use serde::{Deserialize, Serialize};
use store::VmRow;

use super::{Shared, start};
use crate::EngineError;
use crate::error::one_line;

/// How long a VMM that was killed may take to be gone.
const ENDS: Duration = Duration::from_secs(10);

/// A process, and whose it is.
#[derive(Debug, Serialize, Deserialize)]
struct Recorded {
    process: Identity,
    /// The folder of all VMs that it belongs to, by device and inode: a copy of the store speaks of the same processes.
    vms: (u64, u64),
}

/// What a row notes of the VMM with that process id; nothing where it is gone already.
pub(crate) fn note(shared: &Shared, pid: u32) -> Option<String> {
    let recorded = Recorded {
        process: Identity::of(pid).ok()?,
        vms: vms(shared)?,
    };
    serde_json::to_string(&recorded).ok()
}

/// Ends the VMM that a row names; what belongs to it ends with it. Says whether there was one.
pub(crate) async fn end(shared: &Shared, row: &VmRow) -> Result<bool, EngineError> {
    let recorded = row
        .process
        .as_deref()
        .and_then(|text| serde_json::from_str::<Recorded>(text).ok());
    let ours = recorded.filter(|recorded| Some(recorded.vms) == vms(shared));
    let Some(process) = ours.and_then(|recorded| recorded.process.open()) else {
        return Ok(false);
    };
    let pid = process.identity().pid;
    tracing::warn!(vm = %row.name, pid, "ending a VMM that nothing in its VM's folder tells of");
    let ended = async {
        process.kill(Signal::KILL)?;
        process.wait().await
    };
    match tokio::time::timeout(ENDS, ended).await {
        Ok(ended) => {
            ended.map_err(|error| EngineError::Internal(one_line(&error)))?;
        }
        Err(_) => {
            let message = format!("process {pid}, the VMM of `{}`, does not end", row.name);
            return Err(EngineError::Internal(message));
        }
    }
    vmm::groups::remove_of(&row.id).await;
    Ok(true)
}

/// Whether a row names that process so that [`end`] would find it.
pub(crate) fn is_noted(shared: &Shared, row: &VmRow, pid: u32) -> bool {
    note(shared, pid).is_some_and(|note| row.process.as_deref() == Some(&note))
}

/// Ends what runs of a VM, by what its folder tells; where that cannot be understood, by its row.
pub(crate) async fn tear_down(shared: &Shared, id: &str) -> Result<(), EngineError> {
    let folder = shared.paths.vm(id);
    let Err(error) = start::tear_down(&*shared.machines, &folder).await else {
        return Ok(());
    };
    let record = folder.join(vmm::PROCESS_RECORD);
    if !matches!(process::read_record(&record), Err(ProcessError::Damaged { .. })) {
        return Err(error);
    }
    // A row names the process for as long as there may be one.
    if let Some(row) = shared.store.vms().get(id).await? {
        end(shared, &row).await?;
    }
    tracing::warn!(record = %record.display(), "removing a record that cannot be understood");
    std::fs::remove_file(&record).map_err(EngineError::file("remove", &record))?;
    start::tear_down(&*shared.machines, &folder).await
}

fn vms(shared: &Shared) -> Option<(u64, u64)> {
    let about = shared.paths.vms().metadata().ok()?;
    Some((about.dev(), about.ino()))
}
