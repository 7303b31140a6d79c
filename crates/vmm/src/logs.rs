//! The logs of a machine, bounded: a small process beside each VMM keeps them, whether a daemon is there or not.
//!
//! ```text
//!  VMM ── console ──▶ pipe ─┐              ┌─▶ console.log ─(full)─▶ console.log.1
//!      ── stderr ───▶ pipe ─┴─▶ the keeper ┴─▶ vmm.log ─────(full)─▶ vmm.log.1
//! ```
//!
//! A VMM's own log file grows without end. A ring in the VMM's memory is gone with the VMM, when it is wanted most.
//! A pipe that the daemon reads fills up while no daemon is there, and then the guest's serial port stalls. So
//! each machine has a process of its own for it. It ends when the VMM has.

mod follow;
mod keeper;
mod read;
mod start;

pub use follow::Follower;
pub use keeper::keep_logs_if_asked;
pub use read::{console_log, vmm_log};
pub(crate) use start::{Inlets, Keeper};

/// Which process keeps the logs.
pub(crate) const KEEPER_RECORD: &str = "keeper.json";

/// First argument of the keeper's process.
const VERB: &str = "banger-vm-logs";

/// What the keeper says when it reads.
const READY: &str = "ready\n";

/// Which log of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// What the guest printed on its serial console.
    Console,
    /// What the VMM said.
    Vmm,
}

impl LogKind {
    fn log(self) -> Log {
        match self {
            Self::Console => CONSOLE,
            Self::Vmm => VMM,
        }
    }
}

/// A log of which the newest part is kept: up to twice `limit` bytes, in two files.
#[derive(Clone, Copy, Debug)]
struct Log {
    /// The file that is written.
    name: &'static str,
    /// The one before it.
    older: &'static str,
    /// Longest file in bytes.
    limit: u64,
}

const CONSOLE: Log = Log {
    name: "console.log",
    older: "console.log.1",
    limit: 1 << 20,
};

const VMM: Log = Log {
    name: "vmm.log",
    older: "vmm.log.1",
    limit: 1 << 18,
};
