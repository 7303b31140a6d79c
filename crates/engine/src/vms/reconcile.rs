//! After a restart of the daemon: what the store says is held against what is there.
//!
//! Machines that run are taken up again. Operations that the end of the last daemon cut off are undone by the same
//! undo that a failure would have run.

use std::sync::Arc;

use jiff::Timestamp;
use model::{OperationState, VmState};
use store::{Change, OperationRow, VmRow};
use vmm::{End, Machine};

use super::actor::Due;
use super::command::Command;
use super::ending::{self, Outcome};
use super::state::Off;
use super::{Shared, Task, actor, create, layer_path, recorded, start, state};
use crate::EngineError;
use crate::error::one_line;

const CUT_OFF: &str = "the daemon ended while it was starting";
const FOLDER_GONE: &str = "its folder was removed while it ran";
const REBOOTED: &str = "the guest rebooted while no daemon ran";

/// Brings store and host together. Goes on past a VM that cannot be brought in order.
pub(crate) async fn reconcile(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let unfinished = shared.store.operations().unfinished().await?;
    let vms = shared.store.vms().list().await?;
    let names: Vec<String> = vms.iter().map(|row| row.name.clone()).collect();
    if let Err(error) = shared.ssh.keep_only(&names) {
        tracing::warn!(error = %one_line(&error), "cannot tidy the known hosts");
    }
    let (mut kept, mut going) = (Vec::new(), Vec::new());
    for row in vms {
        let is_rebooting = unfinished
            .iter()
            .any(|operation| operation.kind == "reboot" && operation.vm.as_ref() == Some(&row.id));
        if row.ephemeral || row.pending.is_some() || create::is_set_aside(shared, &row.id) {
            tracing::info!(vm = %row.name, "removing what the last daemon left");
            if let Err(error) = remove(shared, &row).await {
                tracing::warn!(vm = %row.name, error = %one_line(&error), "cannot remove it; trying on");
                going.push(row.id.clone());
                let _ = take_up(shared, row, None, Some(Due::Gone));
            }
            continue;
        }
        kept.push(row.id.clone());
        let name = row.name.clone();
        if let Err(error) = bring_back(shared, row, is_rebooting).await {
            tracing::warn!(vm = %name, error = %one_line(&error), "cannot bring it in order; trying on");
        }
    }
    remove_orphans(shared, &[kept.as_slice(), going.as_slice()].concat()).await?;
    for operation in unfinished {
        if let Err(error) = finish(shared, &operation, &kept).await {
            tracing::warn!(operation = operation.id, error = %one_line(&error), "cannot record its end");
        }
    }
    Ok(())
}

async fn remove(shared: &Shared, row: &VmRow) -> Result<(), EngineError> {
    recorded::end(shared, row).await?;
    let aside = create::set_aside(shared, &row.id).await?;
    create::erase(shared, &row.id, aside).await
}

/// What there is of a VM.
#[derive(Default)]
pub(crate) struct Found {
    /// Its machine, which runs.
    pub(crate) machine: Option<Arc<dyn Machine>>,
    /// What it has become, if that is not recorded yet.
    pub(crate) off: Option<Off>,
    /// Its guest wants to boot again, which is to be recorded so.
    pub(crate) reboot: Option<Change<String>>,
}

impl Found {
    fn off(off: Off) -> Self {
        Self {
            off: Some(off),
            ..Self::default()
        }
    }
}

/// Finds out what there is of a VM, and takes down what is left of a machine that is gone. `rebooting`: its guest had
/// asked for another boot, which had not come to its end.
pub(crate) async fn look(shared: &Shared, row: &VmRow, rebooting: bool) -> Result<Found, EngineError> {
    let folder = shared.paths.vm(&row.id);
    match row.state {
        VmState::Running | VmState::Stopping => {
            let machine = shared.machines.find(&folder).await?;
            if machine.is_some() {
                return Ok(Found {
                    machine,
                    ..Found::default()
                });
            }
            let is_lost = recorded::end(shared, row).await?;
            let last = ending::last_word(&folder);
            recorded::tear_down(shared, &row.id).await?;
            let unseen = match is_lost {
                true => End::from(FOLDER_GONE.to_owned()),
                false => End::unknown("its machine ended while no daemon was there"),
            };
            if row.state == VmState::Stopping {
                return Ok(Found::off(Off::stopped(ending::unclean(&unseen, None, &last))));
            }
            Ok(match ending::of(unseen, None, last) {
                Outcome::Off(reason) => Found::off(Off::stopped(Some(reason))),
                Outcome::Crashed(reason) => Found::off(Off::crashed(reason)),
                Outcome::Reboot(why) => Found {
                    reboot: Some(Change::Set(why.to_owned())),
                    ..Found::off(Off::stopped(Some(REBOOTED.to_owned())))
                },
            })
        }
        VmState::Starting => {
            recorded::end(shared, row).await?;
            recorded::tear_down(shared, &row.id).await?;
            let reason = if rebooting { REBOOTED } else { CUT_OFF };
            Ok(Found {
                // It is recorded already.
                reboot: rebooting.then_some(Change::Keep),
                ..Found::off(Off::stopped(Some(reason.to_owned())))
            })
        }
        VmState::Created | VmState::Stopped | VmState::Error => {
            recorded::end(shared, row).await?;
            recorded::tear_down(shared, &row.id).await?;
            Ok(Found::default())
        }
    }
}

/// Begins a VM's task. Where it cannot be found out what there is, or not be recorded, the task goes on trying.
async fn bring_back(shared: &Arc<Shared>, row: VmRow, rebooting: bool) -> Result<(), EngineError> {
    let found = match look(shared, &row, rebooting).await {
        Ok(found) => found,
        Err(error) => {
            let _ = take_up(shared, row, None, Some(Due::Look));
            return Err(error);
        }
    };
    let row = match found.off {
        None => row,
        Some(off) => match state::off(shared, &row.id, off.clone()).await {
            Ok(row) => row,
            Err(error) => {
                let _ = take_up(shared, row, None, Some(Due::Off(off)));
                return Err(error);
            }
        },
    };
    let id = row.id.clone();
    if let Some(machine) = &found.machine
        && !recorded::is_noted(shared, &row, machine.pid())
    {
        // As an earlier version, or another state folder, has noted it.
        let update = store::VmUpdate {
            process: recorded::note(shared, machine.pid()).map_or(Change::Keep, Change::Set),
            ..store::VmUpdate::default()
        };
        if let Err(error) = shared.store.vms().update(&id, update).await {
            tracing::warn!(vm = %row.name, %error, "cannot note its process");
        }
    }
    let task = take_up(shared, row, found.machine, None);
    match found.reboot {
        Some(reboot) => boot_again(shared, id, &task, reboot).await,
        None => Ok(()),
    }
}

fn take_up(shared: &Arc<Shared>, row: VmRow, machine: Option<Arc<dyn Machine>>, due: Option<Due>) -> Task {
    let task = actor::spawn(Arc::clone(shared), &row, machine, due);
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
    if task.send(command).await.is_err() {
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
        let is_aside = name.starts_with(create::GONE);
        let id = name.strip_prefix(create::GONE).unwrap_or(name);
        if !is_id(id) || kept.iter().any(|kept| kept == id) {
            continue;
        }
        let torn_down = start::tear_down(&*shared.machines, &entry.path()).await;
        if !is_aside && layer_path(&entry.path()).exists() {
            // The store is not the one that it was: the disk is the user's.
            let path = entry.path();
            tracing::warn!(folder = %path.display(), "keeping the disk of a VM that the store does not know");
            continue;
        }
        tracing::info!(folder = name, "removing a folder that no VM owns");
        let removed = match torn_down {
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
