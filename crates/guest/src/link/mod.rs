//! The link over a port whose ends come and go: outer frames, sessions, and what keeps a dead session's bytes
//! out of the next one. Host and agent share it.
//!
//! ```text
//! magic u32 | kind u16 | 0 u16 | session u64 | length u32 | payload: length bytes, at most MAX_PAYLOAD
//! ```
//! All big-endian. Kinds: 1 HELLO (host to agent, empty), 2 ACK (agent to host, empty), 3 DATA (both), 4 RESET (agent to
//! host, empty, session 0).
//!
//! A virtio-serial port is one byte stream that outlives the processes at its ends. What is on its way when the
//! host's process dies arrives at the next one, cut anywhere. So the host, on connecting, first sends zeros (more
//! than a frame: they fill up whatever was cut), then HELLO with a fresh session, and throws input away byte by
//! byte until the ACK of that session. The agent writes whole frames only and hunts for the magic when it is out
//! of step; a HELLO always replaces the session; DATA of another session is dropped. End-of-file is a hint at
//! best: on this port it can arrive after the first bytes of the next session.
//!
//! The host is not told either when the agent dies. So an agent, on opening the port, sends as many zeros, for the
//! frame that the one before it may have left half, and RESET: it ends the session that the host may still think it has.

mod codec;
mod host;
mod port;

pub use codec::{Decoder, HEADER, Header, Kind, MAX_PAYLOAD};
pub use host::connect;
pub use port::{Port, Session};
