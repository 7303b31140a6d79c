//! Checks of the host: is there what banger needs?

mod checks;
mod confinement;
mod firecracker;
mod groups;
mod stored;

use std::path::PathBuf;
use std::sync::Arc;

use api::{Check, CheckState};
use config::Paths;

use crate::error::{one_line, plain};
use crate::{Configured, Machines, Networks};

/// What the checks look at.
#[derive(Clone, Debug)]
pub struct Doctor {
    /// Where everything lies.
    pub paths: Paths,
    /// The agent's binary.
    pub agent: PathBuf,
    /// What machines run on.
    pub machines: Arc<dyn Machines>,
    /// How VMs get their networks.
    pub networks: Networks,
    /// Reads both again; the values above stay if `None`.
    pub configured: Option<Arc<dyn Configured>>,
    /// The image of a VM for which none is named.
    pub default_image: String,
}

impl Doctor {
    /// Runs all checks. Blocks for as long as a few programs take to say their version, and resolvers to answer one
    /// question.
    #[must_use]
    pub fn examine(&self) -> Vec<Check> {
        let read = self.configured.as_ref().map(|configured| configured.read());
        let (machines, networks, broken) = match read {
            Some(Ok((machines, networks))) => (machines, networks, None),
            Some(Err(error)) => (self.machines.clone(), self.networks.clone(), Some(error)),
            None => (self.machines.clone(), self.networks.clone(), None),
        };
        let mut all = vec![checks::architecture()];
        all.extend(broken.map(|error| {
            let message = format!("{}; no VM starts", one_line(&error));
            let hint = error.to_api().hint;
            check("configuration", CheckState::Fail, message, hint.as_deref())
        }));
        all.push(checks::vmm(&*machines));
        all.extend(firecracker::firecracker(&*machines, vmm::kvm::usable().is_ok()));
        all.extend([
            checks::kvm(),
            confinement::confinement(machines.confine()),
            groups::groups(),
            checks::agent(&self.agent),
            checks::passt(&networks),
        ]);
        all.extend(checks::ipv6(&networks));
        all.extend([
            checks::mke2fs(),
            checks::image_tools(),
            checks::user_namespaces(),
            checks::default_image(&self.paths, &self.default_image),
            stored::store(&self.paths),
            stored::private(&self.paths),
            checks::disk(&self.paths),
        ]);
        all
    }
}

/// One check's outcome.
fn check(name: &str, state: CheckState, message: impl Into<String>, hint: Option<&str>) -> Check {
    Check {
        name: name.to_owned(),
        state,
        message: plain(&message.into()),
        hint: hint.map(plain),
    }
}
