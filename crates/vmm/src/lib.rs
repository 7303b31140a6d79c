//! Virtual machine monitors behind one trait, and the identity of their processes.
//!
//! A backend turns a [`MachineSpec`] into a running process that outlives the daemon. What is left on disk
//! (`process.json` in the VM's folder) is enough to find it again.

mod spec;

pub use spec::{Backend, Channel, Drive, Machine, MachineSpec, NetworkDevice, NetworkSocket, VmmError};
