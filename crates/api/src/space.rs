//! What lies where on the host's disk.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/df`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Space {
    /// All that there is, by kind and name.
    pub items: Vec<SpaceItem>,
    /// Bytes that are free on the file system of the state directory.
    pub free: u64,
    /// The state directory.
    pub state: String,
    /// The cache directory.
    pub cache: String,
}

/// Kind of a thing on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SpaceKind {
    /// An image's root file system.
    Image,
    /// A kernel with its modules.
    Kernel,
    /// What a VM has for itself: its disk and its logs.
    Vm,
    /// What is made again where it is missing.
    Cache,
    /// The daemon's own: database and log.
    Daemon,
}

impl fmt::Display for SpaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Kernel => "kernel",
            Self::Vm => "vm",
            Self::Cache => "cache",
            Self::Daemon => "daemon",
        })
    }
}

/// A thing on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SpaceItem {
    /// Its kind.
    pub kind: SpaceKind,
    /// Its name; for what no name leads to any more, that of its file.
    pub name: String,
    /// Bytes as whoever uses it sees them; a VM's disk is as large as it may become.
    pub size: u64,
    /// Bytes that it takes on the host's disk.
    pub used: u64,
    /// How many VMs share it; it takes its space once.
    pub vms: u32,
    /// Bytes of `used` that nothing in use would miss: those of an image or a kernel without VMs, of a VM that is off,
    /// of a cache.
    pub reclaimable: u64,
    /// Whether it is a VM's disk that keeps on the host what its guest deletes: its VMM takes no discards.
    #[serde(default)]
    pub keeps_deleted: bool,
}
