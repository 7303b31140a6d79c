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

use crate::{Machines, Networks};

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
    /// The image of a VM for which none is named.
    pub default_image: String,
}

impl Doctor {
    /// Runs all checks. Blocks for as long as a few programs take to say their version.
    #[must_use]
    pub fn examine(&self) -> Vec<Check> {
        let mut all = vec![checks::architecture(), checks::vmm(&*self.machines)];
        all.extend(firecracker::firecracker(&*self.machines));
        all.extend([
            checks::kvm(),
            confinement::confinement(self.machines.confine()),
            groups::groups(),
            checks::agent(&self.agent),
            checks::passt(&self.networks),
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
        message: message.into(),
        hint: hint.map(str::to_owned),
    }
}
