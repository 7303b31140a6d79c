//! Firecracker: a small VMM with few devices, driven over HTTP on a Unix socket. Needs KVM.
//!
//! Each machine has a folder that Firecracker takes for its whole world. All paths that it is told are relative to
//! it, so that they hold wherever the folder lies: in a root of its own, or in the VM's folder, or in the folder of
//! another VM that is to go on from a snapshot of this one.
//!
//! ```text
//!  <folder>/firecracker/     kernel  initramfs  drive0  drive1  …    links to what the machine is made of
//!  <folder>/firecracker/run/ api.sock    the API          agent.sock  the agent, by vsock
//!                            log         a pipe with a name, to the keeper of the logs
//!                            metrics     another
//! ```

mod api;
mod confine;
mod control_groups;
#[cfg(test)]
mod described;
mod end;
mod features;
mod jail;
mod machine;
mod requests;
mod snapshot;
mod start;
mod version;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{Backend, Confine, Folder, Machine, MachineSpec, VmmError};
pub use jail::Jailer;
pub(crate) use jail::has_control_groups;
pub(crate) use machine::find;
pub use version::{Unfit, Version, supported, version};
pub use version::{concern, takes_discards};
pub(crate) use world::WORLD;

/// Firecracker as a backend.
#[derive(Clone, Debug)]
pub struct Firecracker {
    binary: PathBuf,
    version: Version,
    name: String,
    log_keeper: PathBuf,
    jailer: Option<Jailer>,
    confine: Confine,
}

impl Firecracker {
    /// One that executes `binary`, a path, which is of that version: it is sent nothing that the version does not
    /// know.
    pub fn new(binary: impl Into<PathBuf>, version: Version) -> Self {
        Self {
            binary: binary.into(),
            version,
            name: format!("firecracker/{version}"),
            // Not the path of this program: an update may have put another one there.
            log_keeper: "/proc/self/exe".into(),
            jailer: None,
            confine: Confine::Required,
        }
    }

    /// Its release.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Has it run in a jail, which only root can make.
    #[must_use]
    pub fn with_jailer(self, jailer: Option<Jailer>) -> Self {
        Self { jailer, ..self }
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

impl Backend for Firecracker {
    fn name(&self) -> &str {
        &self.name
    }

    fn start<'a>(&'a self, spec: &'a MachineSpec) -> BoxFuture<'a, Result<Arc<dyn Machine>, VmmError>> {
        Box::pin(start::start(self, spec, None))
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, VmmError>> {
        Box::pin(async { find(Folder::open(folder)?) })
    }

    fn restore<'a>(
        &'a self,
        spec: &'a MachineSpec,
        snapshot: &'a Path,
    ) -> BoxFuture<'a, Result<Arc<dyn Machine>, VmmError>> {
        Box::pin(start::start(self, spec, Some(snapshot)))
    }
}
