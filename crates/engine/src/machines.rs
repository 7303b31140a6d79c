//! What machines run on: the choice of a VMM on this host, and finding the machines that an earlier daemon started.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use vmm::{Backend, Machine};

use crate::EngineError;

/// The VMM for a start.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Why this one, for people; empty where there is nothing to say.
    pub reason: String,
}

/// What the engine asks the host for.
pub trait Machines: fmt::Debug + Send + Sync {
    /// The VMM that a start would use now.
    ///
    /// # Errors
    /// None works here.
    fn choose(&self) -> Result<Choice, EngineError>;

    /// The machine that `folder` tells of, whichever backend started it. `None`: it has ended.
    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, EngineError>>;
}

/// The VMMs of this host.
#[derive(Clone, Debug, Default)]
pub struct HostMachines {
    /// Which one the configuration asks for.
    pub wanted: vmm::Wanted,
    /// Where they are.
    pub binaries: vmm::Binaries,
    /// passt, if not the one on `PATH`.
    pub passt: Option<PathBuf>,
}

impl Machines for HostMachines {
    fn choose(&self) -> Result<Choice, EngineError> {
        let (backend, reason) = vmm::choose(self.wanted, &self.binaries)?;
        let needs_passt = self.wanted == vmm::Wanted::Auto && !backend.has_built_in_network();
        if needs_passt && net::find_passt(self.passt.as_deref()).is_none() {
            // The other one has a network at least, if not a good one.
            if let Ok((other, _)) = vmm::choose(vmm::Wanted::Qemu, &self.binaries) {
                let reason = format!("{} would have no network: passt was not found", backend.name());
                return Ok(Choice {
                    backend: other,
                    reason,
                });
            }
        }
        Ok(Choice { backend, reason })
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, EngineError>> {
        Box::pin(async move { Ok(vmm::find(folder).await?) })
    }
}
