//! After a restart of the daemon: what the store says is held against what is there.
//!
//! Machines that run are taken up again. Operations that the end of the last daemon cut off are undone by the same
//! undo that a failure would have run.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use process::{Identity, Signal};
use store::{Change, OperationRow, OperationState, VmRow, VmState};
use vmm::End;

use super::actor::Command;
use super::ending::{self, Outcome};
use super::{Shared, Task, actor, create, start, state};
use crate::EngineError;
use crate::error::one_line;

const CUT_OFF: &str = "the daemon ended while it was starting";
const FOLDER_GONE: &str = "its folder was removed while it ran";
const REBOOTED: &str = "the guest rebooted while no daemon ran";

/// Brings store and host together. Goes on past a VM that cannot be brought in order.
pub(crate) async fn reconcile(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let unfinished = shared.store.operations().unfinished().await?;
    let mut vms = shared.store.vms().list().await?;
    let cut_off_creates: HashSet<_> = unfinished
        .iter()
        .filter(|operation| operation.kind == "create")
        .filter_map(|operation| operation.vm.clone())
        .collect();
    let names: Vec<String> = vms.iter().map(|row| row.name.clone()).collect();
    if let Err(error) = shared.ssh.keep_only(&names) {
        tracing::warn!(error = %one_line(&error), "cannot tidy the known hosts");
    }
    let mut kept = Vec::new();
    for row in vms.drain(..) {
        let unborn = cut_off_creates.contains(&row.id) && row.state != VmState::Running;
        let cut_off = |kind: &str| {
            let of_vm = |operation: &OperationRow| operation.vm.as_ref() == Some(&row.id);
            unfinished
                .iter()
                .any(|operation| operation.kind == kind && of_vm(operation))
        };
        let (deleted, rebooting) = (cut_off("delete"), cut_off("reboot"));
        if row.ephemeral || unborn || deleted {
            tracing::info!(vm = %row.name, "removing what the last daemon left");
            let removed = match end_unfound(&row).await {
                Ok(_) => create::remove(shared, &row.id).await,
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(vm = %row.name, error = %one_line(&error), "cannot remove it");
                kept.push(row.id.clone());
                let _ = take_up(shared, row, None);
            }
            continue;
        }
        kept.push(row.id.clone());
        let name = row.name.clone();
        if let Err(error) = bring_back(shared, row, rebooting).await {
            tracing::warn!(vm = %name, error = %one_line(&error), "cannot bring it in order");
        }
    }
    remove_orphans(shared, &kept).await?;
    for operation in unfinished {
        finish(shared, &operation, &kept).await?;
    }
    Ok(())
}

/// `rebooting`: its guest had asked for another boot, which had not come to its end.
async fn bring_back(shared: &Arc<Shared>, row: VmRow, rebooting: bool) -> Result<(), EngineError> {
    let folder = shared.paths.vm(&row.id);
    match row.state {
        VmState::Running | VmState::Stopping => {
            let machine = shared.machines.find(&folder).await?;
            if machine.is_some() {
                let _ = take_up(shared, row, machine);
                return Ok(());
            }
            let is_lost = end_unfound(&row).await?;
            let last = ending::last_word(&folder);
            start::tear_down(&*shared.machines, &folder).await?;
            let unseen = match is_lost {
                true => End::from(FOLDER_GONE.to_owned()),
                false => End::unknown("its machine ended while no daemon was there"),
            };
            let stopped = |reason| state::stopped(shared, &row.id, reason);
            let (now, reboot) = match row.state {
                VmState::Stopping => (stopped(ending::unclean(&unseen, None, &last)).await?, None),
                _ => match ending::of(unseen, None, last) {
                    Outcome::Off(reason) => (stopped(Some(reason)).await?, None),
                    Outcome::Crashed(reason) => (state::crashed(shared, &row.id, reason).await?, None),
                    Outcome::Reboot(why) => (stopped(Some(REBOOTED.to_owned())).await?, Some(why)),
                },
            };
            let id = now.id.clone();
            let task = take_up(shared, now, None);
            if let Some(why) = reboot {
                boot_again(shared, id, &task, Change::Set(why.to_owned())).await?;
            }
        }
        VmState::Starting => {
            start::tear_down(&*shared.machines, &folder).await?;
            let reason = if rebooting { REBOOTED } else { CUT_OFF };
            let row = state::stopped(shared, &row.id, Some(reason.to_owned())).await?;
            let id = row.id.clone();
            let task = take_up(shared, row, None);
            if rebooting {
                // It is recorded already.
                boot_again(shared, id, &task, Change::Keep).await?;
            }
        }
        VmState::Created | VmState::Stopped | VmState::Error => {
            let _ = take_up(shared, row, None);
        }
    }
    Ok(())
}

/// Ends the VMM of a VM whose folder, which would tell of it, is gone; what belongs to it ends with it. Says whether there
/// was one.
async fn end_unfound(row: &VmRow) -> Result<bool, EngineError> {
    let recorded = row
        .process
        .as_deref()
        .and_then(|text| serde_json::from_str::<Identity>(text).ok());
    let Some(process) = recorded.and_then(|identity| identity.open()) else {
        return Ok(false);
    };
    tracing::warn!(vm = %row.name, pid = process.identity().pid, "ending a VM whose folder is gone");
    let ended = async {
        process.kill(Signal::KILL)?;
        process.wait().await
    };
    ended
        .await
        .map_err(|error| EngineError::Internal(one_line(&error)))?;
    vmm::groups::remove_of(&row.id).await;
    Ok(true)
}

fn take_up(shared: &Arc<Shared>, row: VmRow, machine: Option<Arc<dyn vmm::Machine>>) -> Task {
    let task = actor::spawn(Arc::clone(shared), &row, machine);
    shared.tasks().insert(row.id, task.clone());
    task
}

/// Goes on with a reboot that a guest began while nobody was there to see to it.
async fn boot_again(
    shared: &Shared,
    id: String,
    task: &Task,
    reboot: Change<String>,
) -> Result<(), EngineError> {
    let operation = shared.operations.begin("reboot", Some(id)).await?;
    let command = Command::Start {
        operation: operation.clone(),
        reboot,
    };
    if task.commands.send(command).await.is_err() {
        // The VM went meanwhile.
        shared.operations.end(&operation, Ok(None)).await;
    }
    Ok(())
}

/// Folders that no row speaks of: what runs in them is ended, then they are removed.
async fn remove_orphans(shared: &Shared, kept: &[String]) -> Result<(), EngineError> {
    let vms = shared.paths.vms();
    let entries = std::fs::read_dir(&vms).map_err(EngineError::file("read", &vms))?;
    for entry in entries {
        let entry = entry.map_err(EngineError::file("read", &vms))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let ours = name.starts_with(create::GONE) || is_id(name);
        if !ours || kept.iter().any(|id| id == name) {
            continue;
        }
        tracing::info!(folder = name, "removing a folder that no VM owns");
        let removed = match start::tear_down(&*shared.machines, &entry.path()).await {
            Ok(()) => tokio::fs::remove_dir_all(entry.path())
                .await
                .map_err(EngineError::file("remove", entry.path())),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(folder = name, error = %one_line(&error), "cannot remove it");
        }
    }
    Ok(())
}

fn is_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn finish(shared: &Shared, operation: &OperationRow, kept: &[String]) -> Result<(), EngineError> {
    let there = operation.vm.as_ref().is_some_and(|vm| kept.contains(vm));
    let (state, error) = match (operation.kind.as_str(), there) {
        ("create", true) | ("delete", false) => (OperationState::Succeeded, None),
        _ => {
            let error = EngineError::Internal("the daemon ended before the operation did".into()).to_api();
            (OperationState::Failed, serde_json::to_string(&error).ok())
        }
    };
    shared
        .store
        .operations()
        .finish(&operation.id, state, error, Timestamp::now())
        .await?;
    Ok(())
}
