//! What happens to VMs and operations, for whoever listens.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Operation, VmState};

/// One line of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notice {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What a [`Notice`] tells. A reader skips types it does not know.
///
/// A line says little, so that many can be kept for a reader that is behind: `GET /v1/vms/{ref}` has the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Happening {
    /// The first line. Whatever happens from here on is told: who lists VMs after it has come misses nothing.
    Listening,
    /// A VM was made, or is in a state anew: a guest that reboots by itself is `running` again.
    Vm {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// The state that it is in now.
        state: VmState,
        /// Why, where there is something to say.
        reason: Option<String>,
    },
    /// A VM was deleted.
    VmDeleted {
        /// The id that it had.
        id: String,
        /// The name that it had.
        name: String,
    },
    /// An operation began, or ended. Its progress has a stream of its own.
    Operation {
        /// The operation as it is now.
        operation: Operation,
    },
    /// The reader was so slow that lines were dropped here: what it knows may be out of date.
    Missed {
        /// How many.
        lines: u64,
    },
}
