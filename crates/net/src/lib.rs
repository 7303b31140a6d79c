//! Networks of VMs: none and user mode.
//!
//! User mode needs no root: a `passt` process a VM turns its Ethernet frames into sockets of the user's.
//!
//! ```text
//!  guest ── VMM ══ frame filter ══ passt ── sockets of the host
//!  10.0.2.15                       10.0.2.2 gateway, 10.0.2.3 the host's resolver
//! ```
//!
//! Outbound IPv4 works (TCP, UDP, and ping where the host's `ping_group_range` lets users ping), and DNS over UDP
//! through the host's resolver. No port of the host leads in. The guest does not reach the host's loopback, nor
//! link-local addresses such as a cloud's metadata: passt before 2024 (Debian 12 has one of 2023) hands a frame to
//! 127.0.0.1 on as it is, whatever its options say, so a filter of ours stands before it. Since the filter sees the
//! frames outside the VM, root in the guest cannot get around it.
//!
//! What is not kept from the guest yet: the private networks that the host is on, and what the host serves on
//! addresses of its own other than the loopback's.

mod addresses;
mod error;
mod filter;
mod find;
mod messages;
mod plan;
mod ready;
mod user;

pub use error::NetError;
pub use find::find_passt;
pub use plan::{UserPlan, mac_for, user_plan};
pub use user::{UserNetwork, start_user, stop};
