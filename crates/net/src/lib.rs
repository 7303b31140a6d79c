//! Networks of VMs: none and user mode.
//!
//! User mode needs no root: processes of each VM's own turn its Ethernet frames into sockets of the user's.
//!
//! ```text
//!  guest ── VMM ══ frame filter ══ passt ── connections ──────────┐
//!  10.0.2.15            ║                                          host's network
//!                       ╚═════════ relay ── datagrams, pings ─────┘
//!                                           10.0.2.2 gateway, 10.0.2.3 the host's resolvers
//! ```
//!
//! The VMM has one end of a socket, and joins in one of two ways. It sends and takes frames over it; or it hands over
//! the far end of a tap's wire (`process::Wire`), and attaches the tap. The filter does not care.
//!
//! Outbound IPv4 works (TCP, UDP, and ping where the host's `ping_group_range` lets users ping), and DNS over UDP
//! and TCP through the host's resolvers, of IPv6 too. No port of the host leads in, nor is one bound: each flow of datagrams has a connected
//! socket of its own, in the relay. The guest does not reach the host's loopback, nor link-local addresses such as a
//! cloud's metadata: passt before 2024 (Debian 12 has one of 2023) hands a frame to 127.0.0.1 on as it is, whatever its
//! options say, so a filter of ours stands before it, and the relay holds the same policy once more. Since the filter sees
//! the frames outside the VM, root in the guest cannot get around it.
//!
//! IPv6 goes the same ways where it is asked for and the host has it ([`HostIpv6`]); without that none of its frames
//! passes. The guest's addresses are given to it: nothing advertises a router, and its search for the gateway's hardware
//! address is answered by the filter.
//!
//! Nor does the guest reach private networks (RFC 1918, RFC 6598), those that the host's interfaces were on when the
//! network was started, or the host by any of its addresses, unless they are opened for it.
//!
//! A program that starts networks calls [`serve_network_if_asked`] first of all: it is executed once more, as the filter
//! and as the relay.

mod addresses;
mod calls;
mod channel;
mod error;
mod filter;
mod find;
mod host;
mod inside;
mod messages;
mod packet;
mod passed;
mod plan;
mod policy;
mod programs;
mod ready;
mod relay;
mod resolver;
mod resolver_list;
mod subnet;
mod user;

pub use error::NetError;
pub use find::find_passt;
pub use host::ipv6::{HostIpv6, NoIpv6};
pub use host::nat64::NotKnown;
pub use inside::serve_network_if_asked;
pub use plan::{Ipv6Plan, UserPlan, ipv6_plan, mac_for, user_plan};
pub use resolver::HostResolver;
pub use resolver_list::follow_resolvers;
pub use subnet::Subnet;
pub use user::{Binaries, Parts, UserNetwork, parts, start_user, stop};
