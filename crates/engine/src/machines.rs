//! What machines run on: the choice of a VMM on this host, and finding the machines that an earlier daemon started.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use vmm::{Backend, Confine, Machine, RateLimit};

use crate::walls::{Answer, Wall};
use crate::{EngineError, Networks};

/// The VMM for a start.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Why this one, for people; empty where there is nothing to say.
    pub reason: String,
}

impl Choice {
    /// What is better where there is no passt: another one, if that has a network at least.
    fn without_passt(self, other: impl FnOnce() -> Option<Arc<dyn Backend>>) -> Self {
        if self.backend.has_built_in_network() {
            return self;
        }
        match other() {
            Some(backend) => Self {
                reason: format!(
                    "{} would have no network: passt was not found",
                    self.backend.name()
                ),
                backend,
            },
            None => self,
        }
    }
}

/// What the engine asks the host for.
pub trait Machines: fmt::Debug + Send + Sync {
    /// The VMM that a start would use now.
    ///
    /// # Errors
    /// None works here.
    fn choose(&self) -> Result<Choice, EngineError>;

    /// The VMM for the next start of a VM that had the one of that name before.
    ///
    /// # Errors
    /// As of [`Machines::choose`].
    fn choose_again(&self, before: &str) -> Result<Choice, EngineError> {
        let _ = before;
        self.choose()
    }

    /// How fast each of a VM's disks may be used.
    fn disk_limit(&self) -> RateLimit {
        RateLimit::default()
    }

    /// Whether VMMs run where this host does not let them be confined.
    fn confine(&self) -> Confine {
        Confine::Required
    }

    /// What is to be said of the Firecracker that is installed; `None` where there is none.
    fn firecracker(&self) -> Option<Result<String, EngineError>> {
        None
    }

    /// The machine that `folder` tells of, whichever backend started it. `None`: it has ended.
    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, EngineError>>;
}

/// The configuration of how VMs run, as it is at this moment: a wall that the user puts back stands from the next start
/// on, whatever the daemon was started with.
pub trait Configured: fmt::Debug + Send + Sync {
    /// Reads it.
    ///
    /// # Errors
    /// [`EngineError::Config`], [`EngineError::Unread`]: no VM starts by an older one.
    fn read(&self) -> Result<(Arc<dyn Machines>, Networks), EngineError>;

    /// Why the daemon goes by defaults, where it does because its start could not read the configuration. Nothing is
    /// made or started by those.
    fn unread(&self) -> Option<EngineError> {
        None
    }

    /// Whether the daemon's start could not read it, and one that starts now can.
    fn is_mended(&self) -> bool {
        false
    }
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
    /// Whether a VMM's own network will do where there is no passt.
    pub insecure_builtin: bool,
    /// How fast each of a VM's disks may be used.
    pub disk_limit: RateLimit,
}

impl HostMachines {
    /// The choice, unless it is one by itself of a VMM that has no networks without passt, there is none, and the
    /// configuration lets another VMM's own network do.
    fn with_passt(&self, choice: Choice) -> Choice {
        let builtin = Wall::Passt.answer(self.insecure_builtin) != Answer::Refuse;
        if builtin && self.wanted == vmm::Wanted::Auto && net::find_passt(self.passt.as_deref()).is_none() {
            let other = || vmm::choose(vmm::Wanted::Qemu, &self.binaries).ok();
            return choice.without_passt(|| other().map(|(backend, _)| backend));
        }
        choice
    }
}

impl Machines for HostMachines {
    fn choose(&self) -> Result<Choice, EngineError> {
        let (backend, reason) = vmm::choose(self.wanted, &self.binaries)?;
        Ok(self.with_passt(Choice { backend, reason }))
    }

    fn choose_again(&self, before: &str) -> Result<Choice, EngineError> {
        let (backend, reason) = vmm::choose_again(self.wanted, &self.binaries, before)?;
        Ok(self.with_passt(Choice { backend, reason }))
    }

    fn disk_limit(&self) -> RateLimit {
        self.disk_limit
    }

    fn confine(&self) -> Confine {
        self.binaries.confine
    }

    fn firecracker(&self) -> Option<Result<String, EngineError>> {
        let found = vmm::installed_firecracker(&self.binaries)?;
        let told = found.map(|version| format!("{version}; {}", vmm::firecracker::supported()));
        Some(told.map_err(EngineError::from))
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, EngineError>> {
        Box::pin(async move { Ok(vmm::find(folder).await?) })
    }
}

#[cfg(test)]
mod tests {
    use testkit::SimulatedBackend;

    use super::*;

    fn choice(backend: SimulatedBackend) -> Choice {
        Choice {
            backend: Arc::new(backend),
            reason: "as it is".into(),
        }
    }

    #[test]
    fn without_passt_a_vmm_with_a_network_of_its_own_is_the_better_one() {
        let other = || Some(Arc::new(SimulatedBackend::new()) as Arc<dyn Backend>);
        let bare = || SimulatedBackend::new().without_built_in_network();
        let kept = choice(SimulatedBackend::new()).without_passt(|| panic!("it is good enough"));
        assert_eq!(kept.reason, "as it is");
        let changed = choice(bare()).without_passt(other);
        assert_eq!(
            changed.reason,
            "simulated would have no network: passt was not found"
        );
        assert!(changed.backend.has_built_in_network());
        let kept = choice(bare()).without_passt(|| None);
        assert!(!kept.backend.has_built_in_network());
    }
}
