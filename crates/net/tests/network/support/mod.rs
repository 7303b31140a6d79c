//! A host and a guest for tests: a network namespace, and Ethernet frames made by hand.

pub mod apart;
pub mod guest;
pub mod guest_v6;
pub mod host;
pub mod host_v6;
pub mod kernel;
pub mod names;
pub mod network;
pub mod sockets;
pub mod stream;
pub mod vmm;
