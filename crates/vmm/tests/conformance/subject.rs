//! A backend under test, with what it needs to run a machine.

use std::path::PathBuf;
use std::sync::Arc;

use testkit::SimulatedBackend;
use vmm::qemu::Acceleration;
use vmm::{Backend, MachineSpec};

use crate::common::{Lab, firecracker_at, firecracker_binary, qemu_at, qemu_with};
use crate::elf::printing_kernel;
use crate::executes::guests_execute;
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

    /// QEMU with KVM, where guests execute on that.
    pub fn qemu_kvm() -> Option<Self> {
        let with = |binary: &str| Arc::new(qemu_with(binary, Acceleration::Kvm));
        Self::firecracker().executes_no_guest.is_none().then(|| Self {
            backend: with("/usr/bin/qemu-system-x86_64"),
            missing: with("/nowhere/vmm"),
            ..Self::qemu()
        })
    }

    pub fn firecracker() -> Self {
        let found = firecracker_binary();
        let usable = vmm::kvm::usable().map_err(|reason| reason.to_string());
        Self {
            executes_no_guest: usable.and_then(|()| guests_execute(&found)).err(),
            backend: Arc::new(firecracker_at(found)),
            missing: Arc::new(firecracker_at(PathBuf::from("/nowhere/vmm"))),
            kernel: printing_kernel(PRINTED),
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
