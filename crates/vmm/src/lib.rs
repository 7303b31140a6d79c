//! Virtual machine monitors behind one trait, and the identity of their processes.
//!
//! A backend turns a [`MachineSpec`] into a running process that outlives the daemon. What is left on disk
//! (`process.json` in the VM's folder) is enough to find it again.
//!
//! ```text
//!  <folder>/process.json  which process the VMM is          agent.sock    QEMU: the agent's port
//!           console.log   what the guest printed            qmp.sock      QEMU: its control socket
//!           vmm.log       what the VMM said                 firecracker/  Firecracker: all that it sees
//!           metrics.log   what it counted, if it does
//! ```
//!
//! A program that starts machines calls [`keep_logs_if_asked`] first of all: it is executed once more, to keep the
//! logs of its machines.

mod choose;
mod command_line;
mod confine;
mod end;
pub mod firecracker;
mod folder;
pub mod groups;
pub mod kvm;
mod limits;
mod logs;
mod processes;
pub mod qemu;
mod spec;
mod text;
mod version;

use folder::Folder;

pub use choose::{Binaries, Wanted, choose, choose_again, find, installed_firecracker};
pub use confine::Confine;
pub use end::{End, How};
pub use firecracker::{Firecracker, concern, takes_discards};
pub use logs::{Follower, LogKind, console_end, console_log, keep_logs_if_asked, metrics_log, vmm_log};
pub use processes::PROCESS_RECORD;
pub use qemu::Qemu;
pub use spec::{
    Backend, Channel, Drive, Machine, MachineSpec, NetworkDevice, NetworkSocket, RateLimit, VmmError,
};
