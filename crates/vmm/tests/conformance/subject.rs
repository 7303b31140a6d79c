//! A backend under test, with what it needs to run a machine.

use std::path::PathBuf;
use std::sync::Arc;

use testkit::SimulatedBackend;
use vmm::{Backend, MachineSpec};

use crate::common::{Lab, firecracker_at, firecracker_binary, qemu_at};
use crate::elf::waiting_kernel;
use crate::kernel::{Then, kernel};

/// What the kernel of a machine prints, where it executes.
pub const PRINTED: &str = "boot";

/// A backend.
pub struct Subject {
    pub backend: Arc<dyn Backend>,
    /// The same with a binary that is not there.
    pub missing: Arc<dyn Backend>,
    kernel: Vec<u8>,
    executes_no_guest: Option<String>,
}

impl Subject {
    pub fn simulated() -> Self {
        Self {
            backend: Arc::new(SimulatedBackend::new()),
            missing: Arc::new(SimulatedBackend::with_binary("/nowhere/vmm")),
            kernel: Vec::new(),
            executes_no_guest: None,
        }
    }

    pub fn qemu() -> Self {
        Self {
            backend: Arc::new(qemu_at("/usr/bin/qemu-system-x86_64")),
            missing: Arc::new(qemu_at("/nowhere/vmm")),
            kernel: kernel(PRINTED, Then::Halt),
            executes_no_guest: None,
        }
    }

    pub fn firecracker() -> Self {
        let found = firecracker_binary();
        Self {
            backend: Arc::new(firecracker_at(found)),
            missing: Arc::new(firecracker_at(PathBuf::from("/nowhere/vmm"))),
            kernel: waiting_kernel(),
            // Whether it would here is another question: the kernel of this suite for it prints nothing.
            executes_no_guest: Some(match vmm::kvm::usable() {
                Ok(()) => "the kernel of these cases prints nothing on it".into(),
                Err(reason) => reason.to_string(),
            }),
        }
    }

    pub fn name(&self) -> &str {
        self.backend.name()
    }

    /// Why no guest executes, if none does.
    pub fn executes_no_guest(&self) -> Option<String> {
        self.executes_no_guest.clone()
    }

    /// A machine with an image and a layer.
    pub fn spec(&self, lab: &Lab) -> MachineSpec {
        MachineSpec {
            // Where the simulated machine expects it.
            drives: vec![lab.drive("image", true), lab.drive("vm/layer.ext4", false)],
            ..lab.spec(&self.kernel)
        }
    }
}
