//! The guest's `/init` and its agent.
//!
//! ```text
//!  run_agent ── channel: port (outer frames, yamux) or vsock
//!                  │ one byte stream a request
//!               server: HTTP/1.1 routes ── system: Guest (real effects) or Hosted (harmless, for tests)
//!                  │                           │
//!           exec: commands, forward, ports         configure, power
//! ```

mod agent;
mod boot;
mod carry;
pub mod channel;
mod clock;
mod configure;
mod descriptor;
mod exec;
mod farewell;
mod forward;
pub mod init;
mod kernel_log;
mod layer;
mod memory;
mod ports;
mod power;
mod problem;
mod server;
mod ssh;
mod stats;
mod system;

pub use agent::run_agent;
pub use farewell::Farewell;
pub use server::serve_connection;
pub use system::{Guest, Hosted, System};
