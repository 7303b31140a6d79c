//! The states of a VM and the ways between them. There is no other way to write a state, and each is told.
//!
//! ```text
//!  created ─┐          ┌─ reboot ─┐
//!  stopped ─┼─► starting ──► running ──► stopping ──► stopped
//!  error  ──┘       │           │            │
//!                   └───────────┴────────────┴──► error, or stopped with a reason
//! ```

use jiff::Timestamp;
use model::VmState;
use store::{Change, Transition, VmRow};

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

/// `starting → running`.
pub(crate) async fn running(shared: &Shared, id: &str, boot_id: &str) -> Result<VmRow, EngineError> {
    let change = Transition {
        boot_id: Change::Set(boot_id.to_owned()),
        started_at: Change::Set(Timestamp::now()),
        crashed_at: Change::Clear,
        pending: Change::Clear,
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

/// `running → stopping`; a stop that could not be brought to its end is tried anew.
pub(crate) async fn begin_stop(shared: &Shared, id: &str) -> Result<VmRow, EngineError> {
    let change = Transition {
        ..Transition::default()
    };
    let from = [VmState::Running, VmState::Stopping];
    to(shared, id, &from, VmState::Stopping, change).await
}

/// What a VM becomes when nothing of it runs any more.
#[derive(Clone, Debug)]
pub(crate) struct Off {
    to: VmState,
    reason: Option<String>,
    crashed_at: Change<Timestamp>,
}

impl Off {
    fn new(to: VmState, reason: Option<String>) -> Self {
        Self {
            to,
            reason,
            crashed_at: Change::Keep,
        }
    }

    /// Its machine is gone, for the reason given.
    pub(crate) fn stopped(reason: Option<String>) -> Self {
        Self::new(VmState::Stopped, reason)
    }

    /// Likewise, and nobody meant it to go: its guest's kernel failed, or its VMM.
    pub(crate) fn crashed(reason: String) -> Self {
        Self {
            crashed_at: Change::Set(Timestamp::now()),
            ..Self::stopped(Some(reason))
        }
    }

    /// Its start failed.
    pub(crate) fn failed(reason: String) -> Self {
        Self::new(VmState::Error, Some(reason))
    }

    /// Its start was taken back, which leaves it as it was.
    pub(crate) fn as_before(before: VmState, reason: Option<String>) -> Self {
        Self::new(before, reason)
    }
}

/// `starting | running | stopping → stopped`, `error`, or the state before a start.
pub(crate) async fn off(shared: &Shared, id: &str, off: Off) -> Result<VmRow, EngineError> {
    let change = Transition {
        reason: off.reason,
        boot_id: Change::Clear,
        process: Change::Clear,
        crashed_at: off.crashed_at,
        ..Transition::default()
    };
    let from = [VmState::Starting, VmState::Running, VmState::Stopping];
    to(shared, id, &from, off.to, change).await
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
