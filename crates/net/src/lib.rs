//! Networks of VMs: none and user mode.
//!
//! User mode needs no root: a `passt` process a VM turns its Ethernet frames into sockets of the user's.
//!
//! ```text
//!  guest ── VMM ══ socket pair ══ passt ── sockets of the host
//!  10.0.2.15        10.0.2.2 gateway, 10.0.2.3 the host's resolver
//! ```
//!
//! Outbound IPv4 works (TCP, UDP, ping); nothing comes in by itself. What a guest reaches is what the user of
//! the host reaches, private networks included. passt before 2024 even takes frames that a guest addresses to
//! 127.0.0.1 to the host's loopback.

mod error;
mod find;
mod messages;
mod plan;
mod ready;
mod user;

pub use error::NetError;
pub use find::find_passt;
pub use plan::{UserPlan, mac_for, user_plan};
pub use user::{UserNetwork, start_user, stop};
