//! Long-running calls and the events they stream.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ApiError, OperationState, Vm};

/// A long-running call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Operation {
    /// Id, in every log line that belongs to it.
    pub id: String,
    /// What it does: `create`, `start`, `stop`, `restart`, `kill`, `set`, `delete`; `reboot` where the guest did.
    pub kind: String,
    /// Id of the VM it is about, once there is one.
    pub vm: Option<String>,
    /// Where it stands.
    pub state: OperationState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<ApiError>,
}

/// State of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// Begun, or going on: may come many times, with other numbers.
    Running,
    /// Ended well. `detail` says what it did.
    Done,
    /// Ended badly; the operation's own end follows.
    Failed,
}

/// One line of an operation's event stream.
///
/// The first is `started`, the last `succeeded`, `failed` or `cancelled`. A reader skips types it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The operation exists.
    Started {
        /// Its id.
        operation: String,
    },
    /// The VM as it was resolved: the first thing that a `create` says.
    Resolved {
        /// The VM.
        vm: Box<Vm>,
    },
    /// Progress of a stage.
    Stage {
        /// Short word: `kernel`, `image`, `layer`, `network`, `start`, …
        name: String,
        /// State.
        state: StageState,
        /// What it is about or did, for a person: `debian-cloud 6.1.192  fetched, 26 MB`.
        detail: String,
        /// Progress so far, in `unit`s of the stage.
        done: Option<u64>,
        /// Where it will end, if known.
        total: Option<u64>,
        /// Milliseconds since the stage began.
        elapsed_ms: u64,
    },
    /// How long one step of a stage took. Comes when the step has ended well.
    Timing {
        /// `<stage>.<step>`: `start.network`, `start.machine`, `start.agent`, …
        name: String,
        /// Milliseconds.
        elapsed_ms: u64,
    },
    /// Something the user should know that is no failure.
    Warning {
        /// One line.
        message: String,
    },
    /// The end: done.
    Succeeded {
        /// The VM after it, unless it was deleted.
        vm: Option<Box<Vm>>,
    },
    /// The end: failed.
    Failed {
        /// Why.
        error: ApiError,
    },
    /// The end: cancelled and undone.
    Cancelled,
}

impl Event {
    /// Whether this is the operation's last event.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Cancelled
        )
    }
}
