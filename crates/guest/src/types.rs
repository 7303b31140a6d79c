//! Bodies of the agent's requests and answers (JSON over HTTP/1.1).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::text;

/// Generation of this protocol; a host talks to every older generation it has shipped.
pub const GENERATION: u32 = 1;

/// The vsock port that the agent listens on.
pub const PORT: u32 = 42070;

/// What `POST /v1/exec` upgrades to.
pub const UPGRADE_EXEC: &str = "banger-exec";

/// Answer of `GET /v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Protocol generation the agent speaks.
    pub generation: u32,
    /// Version of the agent's binary.
    #[serde(deserialize_with = "text::word")]
    pub version: String,
    /// `/proc/sys/kernel/random/boot_id` of the guest.
    #[serde(deserialize_with = "text::word")]
    pub boot_id: String,
    /// Milliseconds since the guest kernel started.
    pub uptime_ms: u64,
    /// Whether `configure` has been carried out in this boot.
    pub configured: bool,
}

/// Body of `PUT /v1/configure`: the identity of a guest.
///
/// The one path that gives a guest its identity, after a cold boot, a restore and a fork alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configure {
    /// Host name: a DNS label.
    pub hostname: String,
    /// 32 lower-case hex digits for `/etc/machine-id`.
    pub machine_id: String,
    /// Network settings of `eth0`; none leaves only the loopback device.
    pub network: Option<GuestNetwork>,
    /// Nanoseconds since the Unix epoch on the host, taken just before sending.
    pub unix_time_ns: u64,
    /// 64 bytes of fresh entropy from the host, as hex.
    pub entropy: String,
    /// Variables that every exec starts with.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// PEM text of certificate authorities that the host trusts beyond its distribution's.
    #[serde(default)]
    pub ca_certificates: Option<String>,
}

/// Settings of the guest's `eth0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestNetwork {
    /// Address of the guest.
    pub address: Ipv4Addr,
    /// Length of the network prefix in bits, 0 to 32.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: Ipv4Addr,
    /// Resolvers, most preferred first.
    pub dns: Vec<IpAddr>,
    /// Domains in which a short name is looked for, in this order. An agent that knows none is asked for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// A name with fewer dots than this is short; 1 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ndots: Option<u8>,
    /// Largest packet in bytes, when not the device's own.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// What it has of IPv6, if any. An agent that knows none is asked for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<GuestIpv6>,
}

/// Settings of the guest's `eth0` for IPv6. Nothing else gives it any: no router is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestIpv6 {
    /// Address of the guest.
    pub address: Ipv6Addr,
    /// Length of the network prefix in bits, 0 to 128.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: Ipv6Addr,
}

/// Size of a terminal in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WindowSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// Body of `POST …/exec`: a command. With `Upgrade: banger-exec` the connection becomes frames of its streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Program and arguments. Empty: a login shell of the user.
    pub argv: Vec<String>,
    /// Program and arguments in hex, in the place of `argv`, where one of them is no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv_hex: Option<Vec<String>>,
    /// Variables added to the environment, over the configured ones.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory; the user's home if none.
    #[serde(default)]
    pub workdir: Option<String>,
    /// User by name or uid, looked up in the guest's `/etc/passwd`, and after a colon, if there is one, a group by name
    /// or gid; root if none.
    #[serde(default)]
    pub user: Option<String>,
    /// Give the command a terminal of this size; stdout and stderr are then one stream.
    #[serde(default)]
    pub tty: Option<WindowSize>,
    /// Value of TERM, when there is a terminal.
    #[serde(default)]
    pub term: Option<String>,
    /// Whether stdin frames will come; without, the command reads end-of-file.
    #[serde(default)]
    pub stdin: bool,
}

/// What `POST /v1/power` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerAction {
    /// Ends what banger runs, then asks the image's init to shut down; the agent itself where it is PID 1.
    Shutdown,
    /// Syncs, remounts read-only and powers off at once, without the init.
    PowerOff,
}

/// Body of `POST /v1/power`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// The action.
    pub action: PowerAction,
}

/// How a guest is about to end its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shutdown {
    /// The power goes off.
    PowerOff,
    /// The processors stop; where that is all that was asked for, the power goes off as well.
    Halt,
    /// It boots again.
    Reboot,
}

/// Answer of `GET /v1/shutdown`, which comes when the guest has written everything out and is about to end its machine.
/// `POST /v1/shutdown` says that the host has read it; the guest waits for that a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShuttingDown {
    /// What it is about to do.
    pub how: Shutdown,
}

/// Answer of `GET /v1/clock`: the guest's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Nanoseconds since the Unix epoch.
    pub unix_time_ns: i64,
    /// By how much the guest itself has moved its clock since the host has set it, in nanoseconds.
    pub own_ns: i64,
}

/// Body of `PUT /v1/clock`: moves the guest's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetClock {
    /// By so much, in nanoseconds.
    pub step_ns: i64,
    /// What [`Clock::own_ns`] is from now on.
    pub own_ns: i64,
}

/// Answer of `POST /v1/disk/grow`: the writable layer's file system fills its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grown {
    /// Size of the disk in bytes.
    pub disk_size: u64,
}

/// Answer of `GET /v1/stats`: what the guest uses. Counters count from its boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stats {
    /// Processor time that was spent on anything, in milliseconds, over all processors.
    pub cpu_busy_ms: u64,
    /// Memory that the kernel manages, in bytes.
    pub memory_total: u64,
    /// Memory that programs could have without swapping, in bytes.
    pub memory_available: u64,
    /// Size of the root file system in bytes.
    pub disk_total: u64,
    /// What is used of it.
    pub disk_used: u64,
    /// Bytes received on all devices but the loopback.
    pub network_received: u64,
    /// Bytes sent.
    pub network_sent: u64,
}

/// Answer of `GET /v1/boot`, which comes when the image's init has finished booting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// What systemd says of it: `running`, `degraded` where a unit failed, `maintenance`, …. `running` where another
    /// init, or none, has nothing to say.
    #[serde(deserialize_with = "text::word")]
    pub state: String,
}

/// Why the agent refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The request does not decode or breaks a rule.
    BadRequest,
    /// No such route in this generation.
    NotFound,
    /// No program of that name in the guest.
    CommandNotFound,
    /// The program exists and cannot be executed.
    CommandNotExecutable,
    /// The working directory does not exist or cannot be entered.
    NoWorkdir,
    /// No such user in the guest.
    NoUser,
    /// Nothing answers at the address to be forwarded to.
    CannotConnect,
    /// A file cannot be read or written, or a stream of files is broken.
    Files,
    /// Anything that failed inside the agent.
    Internal,
}

/// Body of every answer of the agent with a status of 400 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What kind of failure.
    pub code: ProblemCode,
    /// One line for a person.
    #[serde(deserialize_with = "text::line")]
    pub message: String,
}
