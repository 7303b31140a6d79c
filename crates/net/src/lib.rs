//! Networks of VMs: none and user mode.
//!
//! User mode needs no root: a `passt` process a VM turns its Ethernet frames into sockets of the user's.
