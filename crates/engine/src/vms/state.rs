//! The states of a VM and the ways between them. There is no other way to write a state, and each is told.
//!
//! ```text
//!  created ─┐          ┌─ reboot ─┐
//!  stopped ─┼─► starting ──► running ──► stopping ──► stopped
//!  error  ──┘       │           │            │
//!                   └───────────┴────────────┴──► error, or stopped with a reason
//! ```

use jiff::Timestamp;
use process::Identity;
use store::{Change, Transition, VmRow, VmState};

use super::{Shared, view};
use crate::EngineError;

/// `created | stopped | error → starting`; `reboot` is why the guest wants it, where no daemon was there to see to that.
pub(crate) async fn begin_start(
    shared: &Shared,
    id: &str,
    reboot: Change<String>,
) -> Result<VmRow, EngineError> {
    let change = Transition {
        boot_id: Change::Clear,
        process: Change::Clear,
        rebooted: match reboot {
            Change::Set(why) => of_now(why),
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
        },
        ..Transition::default()
    };
    to(
        shared,
        id,
        &[VmState::Created, VmState::Stopped, VmState::Error],
        VmState::Starting,
        change,
    )
    .await
}

/// `starting → running`. `process`: its VMM's.
pub(crate) async fn running(
    shared: &Shared,
    id: &str,
    boot_id: &str,
    process: Option<&Identity>,
) -> Result<VmRow, EngineError> {
    let change = Transition {
        boot_id: Change::Set(boot_id.to_owned()),
        process: process
            .and_then(|process| serde_json::to_string(process).ok())
            .map_or(Change::Clear, Change::Set),
        started_at: Change::Set(Timestamp::now()),
        crashed_at: Change::Clear,
        ..Transition::default()
    };
    to(shared, id, &[VmState::Starting], VmState::Running, change).await
}

/// `running → running`: it has lost something, as the reason says.
pub(crate) async fn lacking(shared: &Shared, id: &str, reason: String) -> Result<VmRow, EngineError> {
    let change = Transition {
        reason: Some(reason),
        ..Transition::default()
    };
    to(shared, id, &[VmState::Running], VmState::Running, change).await
}

/// `running → running`: the guest has booted another kernel in the same machine (`kexec`), and still lacks what that has
/// lost.
pub(crate) async fn rebooted(
    shared: &Shared,
    id: &str,
    boot_id: &str,
    lacks: Option<String>,
    reboot: String,
) -> Result<VmRow, EngineError> {
    let change = Transition {
        reason: lacks,
        boot_id: Change::Set(boot_id.to_owned()),
        started_at: Change::Set(Timestamp::now()),
        rebooted: of_now(reboot),
        ..Transition::default()
    };
    to(shared, id, &[VmState::Running], VmState::Running, change).await
}

/// `running → starting`: the guest reset its machine, to boot again in another one.
pub(crate) async fn reboots(shared: &Shared, id: &str, reboot: String) -> Result<VmRow, EngineError> {
    let change = Transition {
        boot_id: Change::Clear,
        process: Change::Clear,
        rebooted: of_now(reboot),
        ..Transition::default()
    };
    to(shared, id, &[VmState::Running], VmState::Starting, change).await
}

/// `starting → state it came from`: a start that was taken back leaves the VM as it was.
pub(crate) async fn start_taken_back(
    shared: &Shared,
    id: &str,
    before: VmState,
    reason: Option<String>,
) -> Result<VmRow, EngineError> {
    let change = Transition {
        reason,
        boot_id: Change::Clear,
        process: Change::Clear,
        ..Transition::default()
    };
    to(shared, id, &[VmState::Starting], before, change).await
}

/// `starting → error`: the start failed.
pub(crate) async fn start_failed(shared: &Shared, id: &str, reason: String) -> Result<VmRow, EngineError> {
    let change = Transition {
        reason: Some(reason),
        boot_id: Change::Clear,
        process: Change::Clear,
        ..Transition::default()
    };
    to(shared, id, &[VmState::Starting], VmState::Error, change).await
}

/// `running → stopping`.
pub(crate) async fn begin_stop(shared: &Shared, id: &str) -> Result<VmRow, EngineError> {
    let change = Transition {
        ..Transition::default()
    };
    to(shared, id, &[VmState::Running], VmState::Stopping, change).await
}

/// `starting | running | stopping → stopped`: the machine is gone, for the reason given.
pub(crate) async fn stopped(shared: &Shared, id: &str, reason: Option<String>) -> Result<VmRow, EngineError> {
    gone(shared, id, reason, Change::Keep).await
}

/// Likewise, and nobody meant it to go: its guest's kernel failed, or its VMM.
pub(crate) async fn crashed(shared: &Shared, id: &str, reason: String) -> Result<VmRow, EngineError> {
    gone(shared, id, Some(reason), Change::Set(Timestamp::now())).await
}

async fn gone(
    shared: &Shared,
    id: &str,
    reason: Option<String>,
    crashed_at: Change<Timestamp>,
) -> Result<VmRow, EngineError> {
    let change = Transition {
        reason,
        boot_id: Change::Clear,
        process: Change::Clear,
        crashed_at,
        ..Transition::default()
    };
    to(
        shared,
        id,
        &[VmState::Starting, VmState::Running, VmState::Stopping],
        VmState::Stopped,
        change,
    )
    .await
}

fn of_now(reason: String) -> Change<(Timestamp, String)> {
    Change::Set((Timestamp::now(), reason))
}

async fn to(
    shared: &Shared,
    id: &str,
    from: &[VmState],
    to: VmState,
    change: Transition,
) -> Result<VmRow, EngineError> {
    let row = shared.store.vms().transition(id, from, to, change).await?;
    tracing::info!(vm = %row.name, id, state = ?to, reason = row.reason.as_deref().unwrap_or(""), "state");
    shared.notices.tell(view::happening(&row));
    Ok(row)
}
