//! Agent protocol: what the host and the agent inside a guest say to each other.
//!
//! ```text
//!  host: Agent (HTTP/1.1 client) ── Channel ──►  guest: banger-vsock-agent
//!        VirtioSerial: outer frames, yamux, one HTTP connection a stream
//!        Vsock:        `CONNECT port`, one HTTP connection a socket
//! ```
//!
//! Everything that arrives from the other side is hostile: sizes are capped, decoding is strict.

pub mod frames;
mod types;

pub use types::{
    Configure, Exec, GENERATION, GuestNetwork, Health, PORT, Power, PowerAction, Problem, ProblemCode, WindowSize,
};
