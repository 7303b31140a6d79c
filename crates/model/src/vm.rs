//! Virtual machines.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// State of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VmState {
    /// Made, never started.
    Created,
    /// On its way to running.
    Starting,
    /// An exec works.
    Running,
    /// On its way to stopped.
    Stopping,
    /// Off; its disk is kept.
    Stopped,
    /// The last start or the machine failed; `reason` says why.
    Error,
}

/// How a VM reaches the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// No device.
    None,
    /// Outbound through a process of the user's.
    #[default]
    User,
}

crate::words!(VmState:
    Created = "created",
    Starting = "starting",
    Running = "running",
    Stopping = "stopping",
    Stopped = "stopped",
    Error = "error",
);
crate::words!(NetworkMode: None = "none", User = "user");

/// Boots that a guest began by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reboots {
    /// How many there were.
    pub times: u32,
    /// When the last one began.
    pub at: Timestamp,
    /// Why: `in order` (the guest was asked to), `forced` (past its init), `kexec` (into another kernel in the same
    /// machine), `panic: …` (likewise, since the kernel before it failed).
    pub reason: String,
}
