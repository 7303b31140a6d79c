//! Virtual machines as the API shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{NetworkMode, PortForward, Reboots, VmState};

/// A VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Vm {
    /// 32 lower-case hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: VmState,
    /// Why it is in `stopped` or `error`, or what it has lost though it is `running` (its network), one line.
    pub reason: Option<String>,
    /// Why it stands still though it is `running`, one line, while it does.
    #[serde(default)]
    pub paused: Option<String>,
    /// Name of its image.
    pub image: String,
    /// Name and version of its kernel.
    pub kernel: String,
    /// Virtual processors.
    pub vcpu: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size of the writable layer as the guest sees it, in bytes.
    pub disk_size: u64,
    /// What the layer takes on the host, in bytes.
    pub disk_used: u64,
    /// Network mode.
    pub network: NetworkMode,
    /// Ports of the host that lead into it while it runs.
    #[serde(default)]
    pub publish: Vec<PortForward>,
    /// Address that the host can reach it at, if any.
    pub address: Option<String>,
    /// Which VMM runs it (`qemu/tcg`), or would.
    pub vmm: String,
    /// Why that VMM was chosen.
    pub vmm_reason: String,
    /// Process id of the VMM while there is one.
    pub pid: Option<u32>,
    /// What bounds the VMM while there is one: its control group, if it has one, and the limits of its process.
    #[serde(default)]
    pub limits: Option<String>,
    /// Connections to its ports, while there may be some.
    #[serde(default)]
    pub connections: Option<Connections>,
    /// The guest's boot id while it runs.
    pub boot_id: Option<String>,
    /// Deleted when the client that made it goes.
    pub ephemeral: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// Boots that its guest began by itself since the VM was started.
    #[serde(default)]
    pub rebooted: Option<Reboots>,
    /// When it crashed, if it is off since then: its guest's kernel, or its VMM. `reason` says how.
    #[serde(default)]
    pub crashed_at: Option<Timestamp>,
}

impl model::Subject for Vm {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &str {
        &self.id
    }
}

/// Connections to the ports of a VM: published ones, and forwarded ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Connections {
    /// Those that are carried now, idle ones too.
    pub open: u32,
    /// At so many of them the next is refused.
    pub most: u32,
    /// How many were refused since the ports are there.
    pub refused: u64,
}

/// Body of `POST /v1/vms`. What is left out takes the configured default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CreateVm {
    /// Name; made up (`adjective-noun`) if none.
    pub name: Option<String>,
    /// Image by name; or a reference with `:`, `/` or `@` in it, which is pulled if it is not here.
    pub image: Option<String>,
    /// How the registry is spoken to, if the image is pulled.
    pub registry: crate::RegistryAccess,
    /// Kernel that boots it; the image's if none.
    pub kernel: Option<String>,
    /// Virtual processors, 1 to 64.
    pub vcpu: Option<u32>,
    /// Memory in MiB, at least 128.
    pub memory_mib: Option<u64>,
    /// Size of the writable layer in bytes, at least 256 MiB, at most 8 TiB.
    pub disk_size: Option<u64>,
    /// Network mode.
    pub network: Option<NetworkMode>,
    /// Ports of the host that lead into the VM while it runs; kept with the VM.
    pub publish: Vec<PortForward>,
    /// Variables that every command in the VM starts with; kept with the VM.
    pub env: BTreeMap<String, String>,
    /// Start it too.
    pub start: bool,
    /// Delete it when the connection that made it closes.
    pub ephemeral: bool,
}
