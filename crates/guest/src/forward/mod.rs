//! Ports of a guest on the host: what is asked of the agent, and how bytes go both ways once it has said yes.
//!
//! ```text
//!  listen (TCP) ─┐                                             ┌─ the port of a service in the guest
//!  associate ────┴─► stream: POST /v1/forward, upgraded ─► agent
//!  (UDP, one stream a peer)
//! ```
//!
//! A TCP connection is the raw stream, each half closed on its own; where the channel cannot do that, it is [`Framed`]. Datagrams are `length: u16 big-endian | bytes`.

mod associate;
mod bound;
pub mod datagram;
mod framed;
mod join;
mod listen;
mod slots;
mod socket;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use associate::carry_udp;
pub use bound::{Bound, is_no_address};
pub use framed::Framed;
pub use join::join;
pub use listen::carry_tcp;
pub use slots::{Slot, Slots, Usage, VmSlots};
pub use socket::join_socket;

/// What `POST /v1/forward` upgrades to, on the agent's API and on the host's alike.
pub const UPGRADE_FORWARD: &str = "banger-forward";

/// The same on the agent's API, [`Framed`].
pub const UPGRADE_FORWARD_FRAMED: &str = "banger-forward-framed";

/// How a port is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// A stream of bytes.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Body of `POST /v1/forward`, which upgrades to a stream with `Upgrade: banger-forward`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// How to speak to the port.
    #[serde(default)]
    pub protocol: Protocol,
    /// An address that the guest can reach; none is the guest itself.
    #[serde(default)]
    pub host: Option<IpAddr>,
    /// The port, not 0.
    pub port: u16,
}

impl Forward {
    /// A TCP port of the guest itself.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        Self {
            protocol: Protocol::Tcp,
            host: None,
            port,
        }
    }
}
