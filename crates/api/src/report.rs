//! Version and health of the daemon's host.

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Version {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Where it listens.
    pub socket: String,
    /// Its state directory.
    pub state: String,
}

/// Outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// In order.
    Pass,
    /// Works, with something to know.
    Warn,
    /// Something that banger needs does not work.
    Fail,
}

/// One line of `banger doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// Short stable name: `kvm`, `qemu`, `store`, …
    pub name: String,
    /// Outcome.
    pub state: CheckState,
    /// What was found, one line.
    pub message: String,
    /// The command or step that mends it.
    pub hint: Option<String>,
}

/// Answer of `GET /v1/doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// The checks, in the order to show them.
    pub checks: Vec<Check>,
}
