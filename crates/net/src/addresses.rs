//! The addresses of user mode: the same in every VM, since no VM's frames ever meet another's.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The guest.
pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// Where the guest sends what is not on its own network. Nothing answers there but ARP.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Stands for the host's resolvers, wherever they are.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// Length of the network prefix in bits.
pub(crate) const PREFIX: u8 = 24;
/// The guest by IPv6, where it has any: of a private network (RFC 4193), so that its programs take IPv4 for a name that has
/// both (RFC 6724), and a host whose IPv6 leads nowhere costs them no time.
pub(crate) const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x616e, 0x6765, 0x72, 0, 0, 0, 0x15);
/// Where it sends what is not on its own network. Nothing answers there but the search for its hardware address.
pub(crate) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x616e, 0x6765, 0x72, 0, 0, 0, 2);
/// Length of that network prefix in bits.
pub(crate) const PREFIX_V6: u8 = 64;
/// The gateway's hardware address, of either family.
pub(crate) const GATEWAY_MAC: [u8; 6] = [0x52, 0x55, 0x0a, 0, 2, 2];
/// Large, since each packet costs a walk through guest, VMM and passt; but small enough that a Unix socket carries
/// a frame whole (16 KiB and less is one buffer of the kernel's): passt before 2024 loses its place in the stream
/// when it reads a frame in more than two pieces.
pub(crate) const MTU: u32 = 16_000;
