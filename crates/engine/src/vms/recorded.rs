//! The VMM of a VM as its row names it: for when the VM's folder, which would tell of it, is gone or cannot be read.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use process::{Identity, Signal};
use serde::{Deserialize, Serialize};
use store::VmRow;

use super::Shared;
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

fn vms(shared: &Shared) -> Option<(u64, u64)> {
    let about = shared.paths.vms().metadata().ok()?;
    Some((about.dev(), about.ino()))
}
