//! What the smaller verbs ask for and answer.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::VmState;

/// How a VMM is ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum KillSignal {
    /// At once, and it cannot object.
    #[default]
    Kill,
    /// It writes what it holds and ends. The guest is not asked.
    Term,
    /// As `TERM`.
    Int,
}

impl fmt::Display for KillSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "SIGKILL",
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
        })
    }
}

impl FromStr for KillSignal {
    type Err = String;

    /// `KILL`, `SIGKILL` or `9`, in either case.
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        match upper.strip_prefix("SIG").unwrap_or(&upper) {
            "KILL" | "9" => Ok(Self::Kill),
            "TERM" | "15" => Ok(Self::Term),
            "INT" | "2" => Ok(Self::Int),
            _ => Err(format!("`{text}` is not one of its values: KILL, TERM, INT")),
        }
    }
}

/// Body of `POST /v1/vms/{ref}/kill`; none is as good as an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct KillVm {
    /// The signal.
    pub signal: KillSignal,
}

/// Answer of `GET /v1/vms/{ref}/ping`: what the agent in the guest says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pong {
    /// The VM's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Microseconds between the daemon's question and the agent's answer.
    pub round_trip_us: u64,
    /// Version of the agent.
    pub agent_version: String,
    /// Generation of the agent's protocol.
    pub generation: u32,
    /// The guest's boot id.
    pub boot_id: String,
    /// Milliseconds since the guest's kernel started.
    pub uptime_ms: u64,
}

/// Body of `PATCH /v1/vms/{ref}`: what is left out stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SetVm {
    /// Virtual processors, 1 to 64; of a VM that does not run.
    pub vcpu: Option<u32>,
    /// Memory in MiB, at least 128; of a VM that does not run.
    pub memory_mib: Option<u64>,
    /// Size of the writable layer in bytes: it only grows, also while the VM runs.
    pub disk_size: Option<u64>,
}

/// Answer of `GET /v1/vms/{ref}/stats`: what a VM uses now. Counters count from its start; who wants a rate asks twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmStats {
    /// The VM's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: VmState,
    /// When this was read.
    pub sampled_at: Timestamp,
    /// Virtual processors.
    pub vcpu: u32,
    /// Memory that it is given, in MiB.
    pub memory_mib: u64,
    /// Size of the writable layer in bytes.
    pub disk_size: u64,
    /// What the layer takes on the host, in bytes.
    pub disk_allocated: u64,
    /// What its VMM takes on the host, while it runs.
    pub host: Option<HostUse>,
    /// What the guest says of itself, where its agent answers.
    pub guest: Option<guest::Stats>,
}

/// What a VMM takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostUse {
    /// Processor time in milliseconds, over all processors.
    pub cpu_ms: u64,
    /// Memory in bytes.
    pub memory: u64,
}

/// Answer of `GET /v1/vms/{ref}/boot`, which comes when the image's init has finished booting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Booted {
    /// The VM's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What systemd says of it: `running`, `degraded` where a unit failed, …; `running` of any other init.
    pub state: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_by_name_and_number_and_no_other_is() {
        for (text, signal) in [
            ("KILL", KillSignal::Kill),
            ("sigterm", KillSignal::Term),
            ("2", KillSignal::Int),
        ] {
            assert_eq!(text.parse(), Ok(signal));
        }
        assert!(
            "HUP"
                .parse::<KillSignal>()
                .unwrap_err()
                .contains("KILL, TERM, INT")
        );
        assert!("".parse::<KillSignal>().is_err());
        assert_eq!(serde_json::to_string(&KillSignal::Term).unwrap(), "\"TERM\"");
    }
}
