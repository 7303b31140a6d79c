//! Agent protocol: what the host and the agent inside a guest say to each other.
//!
//! ```text
//!  host: Agent (HTTP/1.1 client) ── Channel ──►  guest: banger-vsock-agent
//!        VirtioSerial: outer frames, yamux, one HTTP connection a stream
//!        Vsock:        `CONNECT port`, one HTTP connection a socket
//! ```
//!
//! Everything that arrives from the other side is hostile: sizes are capped, decoding is strict.

mod client;
mod error;
pub mod files;
pub mod forward;
pub mod frames;
mod head;
mod http;
pub mod link;
mod listeners;
pub mod mux;
mod ssh;
mod text;
mod types;
mod vsock;
mod words;

pub use client::{Activity, Agent, AgentStream, Channel, ExecStream};
pub use error::AgentError;
pub use forward::{Forward, Protocol, UPGRADE_FORWARD, UPGRADE_FORWARD_FRAMED};
pub use listeners::{Listener, Listeners, Process};
pub use ssh::{Ssh, SshServer, UPGRADE_SSH, UPGRADE_SSH_FRAMED};
pub use types::{
    Boot, Clock, Configure, Exec, GENERATION, Grown, GuestIpv6, GuestNetwork, Health, PORT, Power,
    PowerAction, Problem, ProblemCode, SetClock, Shutdown, ShuttingDown, Stats, UPGRADE_EXEC, WindowSize,
};
