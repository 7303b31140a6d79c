//! QEMU: machine `q35`, in software (TCG) or hardware (KVM). Written for 7.2 and newer.

mod arguments;
mod confine;
mod end;
mod machine;
mod qmp;
mod start;
mod version;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{Backend, Confine, Folder, Machine, MachineSpec, VmmError};
pub use confine::{confinable, refusal};
pub(crate) use machine::find;
pub use version::version;

/// The agent's virtio-serial port.
const AGENT_SOCKET: &str = "agent.sock";
/// QEMU's control socket.
const QMP_SOCKET: &str = "qmp.sock";

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceleration {
    /// QEMU itself translates them.
    Tcg,
    /// The processor, through KVM.
    Kvm,
}

/// QEMU as a backend.
#[derive(Clone, Debug)]
pub struct Qemu {
    binary: PathBuf,
    acceleration: Acceleration,
    log_keeper: PathBuf,
    attaches: bool,
    confine: Confine,
}

impl Qemu {
    /// One that executes `binary`, a path.
    pub fn new(binary: impl Into<PathBuf>, acceleration: Acceleration) -> Self {
        Self {
            binary: binary.into(),
            acceleration,
            // Not the path of this program: an update may have put another one there.
            log_keeper: "/proc/self/exe".into(),
            attaches: false,
            confine: Confine::Required,
        }
    }

    /// Has machines attach a tap for their network, as Firecracker does. By default frames go over the socket, which
    /// needs less of the host.
    #[must_use]
    pub fn with_tap(self) -> Self {
        Self {
            attaches: true,
            ..self
        }
    }

    /// Says whether machines run where they cannot be confined; by default they do not.
    #[must_use]
    pub fn with_confinement(self, confine: Confine) -> Self {
        Self { confine, ..self }
    }

    /// Has another program than this one keep the logs; it must call [`crate::keep_logs_if_asked`].
    #[must_use]
    pub fn with_log_keeper(self, log_keeper: impl Into<PathBuf>) -> Self {
        Self {
            log_keeper: log_keeper.into(),
            ..self
        }
    }
}

impl Backend for Qemu {
    fn name(&self) -> &str {
        match self.acceleration {
            Acceleration::Tcg => "qemu/tcg",
            Acceleration::Kvm => "qemu/kvm",
        }
    }

    fn has_built_in_network(&self) -> bool {
        true
    }

    fn start<'a>(&'a self, spec: &'a MachineSpec) -> BoxFuture<'a, Result<Arc<dyn Machine>, VmmError>> {
        Box::pin(start::start(self, spec))
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, VmmError>> {
        Box::pin(async { find(Folder::open(folder)?) })
    }
}
