//! A machine as a host process: the real agent behind a socket that speaks Firecracker's vsock protocol.
//!
//! ```text
//!  SimulatedBackend ── crate `process` ──► simulated-vmm --folder DIR
//!                                            DIR/agent.sock    `CONNECT 42070`, then the agent's API
//!                                            DIR/port.sock     in the place of it: a virtio-serial port
//!                                            DIR/console.log   what the guest prints
//!                                            DIR/vmm.log       what the process prints
//!                                            DIR/process.json  who it is
//!                                            DIR/faults.json   what it does wrong
//! ```
//!
//! Starting one takes milliseconds, so races, crashes and failures are driven by the thousand.

mod agent;
mod backend;
mod faults;
mod guest_end;
mod machine;
mod port;
mod stream;

pub use backend::SimulatedBackend;
pub use faults::MachineFaults;
pub use guest_end::{GuestEnd, Then};
pub use machine::{Ended, Options, run};

/// Exit code of a machine that its guest has reset.
pub const RESET: i32 = 3;
/// Socket of a simulated machine's agent, in its folder.
pub const AGENT_SOCKET: &str = "agent.sock";
/// The same of a machine whose agent is behind a virtio-serial port.
pub const PORT_SOCKET: &str = "port.sock";
/// What its guest prints, in its folder.
pub const CONSOLE_LOG: &str = "console.log";
/// What its process prints, in its folder.
pub const VMM_LOG: &str = "vmm.log";
/// Its process, in its folder.
pub const PROCESS_RECORD: &str = "process.json";
