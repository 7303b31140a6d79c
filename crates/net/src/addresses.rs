//! The addresses of user mode: the same in every VM, since no VM's frames ever meet another's.

use std::net::Ipv4Addr;

/// The guest.
pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// Where the guest sends what is not on its own network. Nothing answers there but ARP.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Stands for the host's resolvers, wherever they are.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// Length of the network prefix in bits.
pub(crate) const PREFIX: u8 = 24;
/// Large, since each packet costs a walk through guest, VMM and passt; but small enough that a Unix socket carries
/// a frame whole (16 KiB and less is one buffer of the kernel's): passt before 2024 loses its place in the stream
/// when it reads a frame in more than two pieces.
pub(crate) const MTU: u32 = 16_000;
