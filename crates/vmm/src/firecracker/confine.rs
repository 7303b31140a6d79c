//! What a confined Firecracker sees: itself, what its machine is made of, `/run`, three devices. Its own seccomp
//! filters stay on besides.

use std::path::{Path, PathBuf};

use process::Confinement;

use super::world::{RUN, WORLD};
use crate::spec::TAPS;
use crate::{Folder, MachineSpec, VmmError};

const DEVICES: [&str; 3] = ["/dev/null", "/dev/urandom", "/dev/kvm"];

/// The confinement of the Firecracker `binary`, a path without links, for a machine of those parts. Its root is its
/// world.
pub(super) fn confinement(
    binary: &Path,
    spec: &MachineSpec,
    parts: &[(String, PathBuf, bool)],
    folder: &Folder,
) -> Result<Confinement, VmmError> {
    let mut confinement = Confinement::new(folder.number()?);
    // Most are static and need nothing beside them; a distribution's own may not be.
    confinement.show_programs();
    if !Confinement::is_shown_with_programs(binary) {
        confinement.show(binary, binary);
    }
    let root = Path::new("/");
    for (name, path, read_only) in parts {
        if *read_only {
            confinement.show(path, root.join(name));
        } else {
            confinement.show_writable(path, root.join(name));
        }
    }
    confinement.show_writable(folder.path().join(WORLD).join(RUN), root.join(RUN));
    for device in DEVICES {
        confinement.device(device);
    }
    if spec.network.is_some() {
        confinement.device(TAPS);
    }
    Ok(confinement)
}
