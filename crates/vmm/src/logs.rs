//! The logs of machines, bounded: a small process keeps them, whether a daemon is there or not.
//!
//! ```text
//!  VMM ── console ──▶ pipe ─┐              ┌─▶ console.log ─(full)─▶ console.log.1
//!      ── stderr ───▶ pipe ─┼─▶ the keeper ┼─▶ vmm.log ─────(full)─▶ vmm.log.1
//!      ── metrics ──▶ pipe ─┘              └─▶ metrics.log ─(full)─▶ metrics.log.1
//! ```
//!
//! A VMM's own log file grows without end. A ring in the VMM's memory is gone with the VMM, when it is wanted most.
//! A pipe that the daemon reads fills up while no daemon is there, and then the guest's serial port stalls. So
//! there is a process for it: one for all machines that a daemon starts, begun with the first of them, so that a start
//! spawns nothing but its VMM. It outlives the daemon and ends after the last of these machines has.
//!
//! While it reads, it holds a lock (`flock(2)`) on the VM's folder. That goes with the last byte, and also with the
//! keeper, whichever is first; so whoever finds the machine later can wait for its last words without knowing the
//! keeper.

mod follow;
mod keeper;
mod kept;
mod read;
mod start;

pub use follow::Follower;
pub use keeper::keep_logs_if_asked;
pub use read::{console_end, console_log, metrics_log, vmm_log};
pub(crate) use start::{Inlets, Keeper};

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

/// What a VMM counts, a line of JSON each time.
const METRICS: Log = Log {
    name: "metrics.log",
    older: "metrics.log.1",
    limit: 1 << 17,
};

/// Longer than no log is.
const LONGEST_LOG: u64 = CONSOLE.limit;

/// In the order in which a keeper is handed their pipes.
const LOGS: [Log; 3] = [CONSOLE, VMM, METRICS];
