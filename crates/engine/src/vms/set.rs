//! Changing a VM's shape: processors and memory while it is off, a larger disk at any time.

use std::fs::File;
use std::time::Duration;

use api::SetVm;
use model::Size;
use store::{VmRow, VmUpdate};
use vmm::Machine;

use super::command::Command;
use super::hurry::Hurry;
use super::link::Link;
use super::{Shared, Vms, layer_path, request, start};
use crate::EngineError;
use crate::error::one_line;
use crate::operations::OperationHandle;

/// How long the guest may take to let its file system grow.
const GROW: Duration = Duration::from_secs(60);
/// Rest between two tries.
const LEARNS: Duration = Duration::from_millis(20);

impl Vms {
    /// Changes what a VM is made of. What is left out stays.
    ///
    /// # Errors
    /// A value breaks a rule, or no or several VMs answer to the reference.
    pub async fn set(&self, reference: &str, change: SetVm) -> Result<OperationHandle, EngineError> {
        if let Some(vcpu) = change.vcpu {
            request::check_vcpu(vcpu)?;
        }
        if let Some(mib) = change.memory_mib {
            request::check_memory(mib)?;
        }
        if let Some(size) = change.disk_size {
            request::check_disk(size)?;
        }
        let (row, task) = self.task(reference).await?;
        self.hand_over("set", row, &task, |operation| Command::Set { operation, change })
            .await
    }
}

/// Carries out a change; all of it is checked before any of it is done.
pub(crate) async fn set(
    shared: &Shared,
    row: VmRow,
    running: Option<(&dyn Machine, &Link)>,
    change: SetVm,
    operation: &OperationHandle,
    hurry: &Hurry,
) -> Result<(), EngineError> {
    let shape = change.vcpu.is_some_and(|vcpu| vcpu != row.vcpu)
        || change.memory_mib.is_some_and(|mib| mib != row.memory_mib);
    if shape && running.is_some() {
        return Err(EngineError::WrongState {
            state: row.state,
            name: row.name,
            verb: "change the vcpus or the memory of",
        });
    }
    let size = change.disk_size.map(request::whole_mib);
    if let Some(size) = size.filter(|size| *size < row.disk_size) {
        return Err(EngineError::Invalid {
            what: "disk size",
            value: Size::from_bytes(size).to_string(),
            why: format!(
                "the disk of `{}` has {} and only grows",
                row.name,
                Size::from_bytes(row.disk_size)
            ),
        });
    }
    let stage = operation.stage("set", row.name.clone());
    let hurried = std::pin::pin!(hurry.asked());
    let grows = size.filter(|size| *size > row.disk_size);
    if let Some(size) = grows {
        grow_disk(shared, &row, running.map(|(machine, _)| machine), size).await?;
    }
    // Only now: a file that is larger than its row says does no harm, the other way about it would.
    let update = VmUpdate {
        vcpu: change.vcpu,
        memory_mib: change.memory_mib,
        disk_size: grows,
        ..VmUpdate::default()
    };
    let row = shared.store.vms().update(&row.id, update).await?;
    if let (Some(size), Some((machine, link))) = (grows, running)
        && let Err(error) = tokio::select! {
            grown = grow_file_system(link, size) => grown,
            // Nobody is left to answer, or to wait for the answer.
            end = machine.wait() => Err(EngineError::MachineEnded { reason: end.reason, console: None }),
            () = operation.cancellation().cancelled() => Err(EngineError::Cancelled),
            () = hurried => Err(EngineError::Cancelled),
        }
    {
        operation.warn(format!(
            "the disk of `{}` is larger, its file system follows at the next start: {}",
            row.name,
            one_line(&error)
        ));
    }
    stage.done("changed");
    Ok(())
}

async fn grow_disk(
    shared: &Shared,
    row: &VmRow,
    machine: Option<&dyn Machine>,
    size: u64,
) -> Result<(), EngineError> {
    if let Some(machine) = machine {
        return Ok(machine.grow_drive(start::writable_drive(row.boot), size).await?);
    }
    // The file alone: what a guest has written is for guests to read. The next start makes the file system follow.
    let path = layer_path(&shared.paths.vm(&row.id));
    let grow = || {
        let file = File::options().write(true).open(&path)?;
        if file.metadata()?.len() < size {
            file.set_len(size)?;
        }
        file.sync_all()
    };
    grow().map_err(EngineError::file("grow", &path))
}

async fn grow_file_system(link: &Link, size: u64) -> Result<(), EngineError> {
    let grown = async {
        let (agent, _) = link.agent().await?;
        // The guest's kernel learns of the larger disk by itself, a moment later than we do.
        while agent.grow_disk().await.map_err(EngineError::Agent)?.disk_size < size {
            tokio::time::sleep(LEARNS).await;
        }
        Ok(())
    };
    match tokio::time::timeout(GROW, grown).await {
        Ok(outcome) => outcome,
        Err(_) => Err(EngineError::AgentSilent {
            waited: GROW,
            console: None,
        }),
    }
}
