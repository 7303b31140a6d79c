//! What a confined QEMU sees: itself, its firmware and libraries, the kernel and the initramfs, three devices.
//!
//! All else comes to it as an open descriptor: disks, network, console, sockets. So it needs no folder of the host.

use std::path::{Path, PathBuf};

use process::{Confinement, Refusal};

use super::Acceleration;
use crate::{Folder, MachineSpec, NetworkDevice, VmmError};

/// Where it finds what it reads by path.
pub(super) const KERNEL: &str = "/kernel";
pub(super) const INITRAMFS: &str = "/initramfs";

const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];

/// Whether this host lets a VMM be confined.
///
/// # Errors
/// What it does not let be done.
pub fn confinable() -> Result<(), Refusal> {
    Confinement::new(0).show_programs().try_out()
}

/// What the host refuses that every VMM is confined by: the one reason for which a start may go on without. Any other (a
/// file in the way, no process or descriptor left for the moment) is one to fail.
pub fn refusal() -> Option<Refusal> {
    confinable().err().filter(|refusal| !refusal.is_want())
}

/// The confinement of the QEMU `binary`, a path without links.
pub(super) fn confinement(
    acceleration: Acceleration,
    binary: &Path,
    spec: &MachineSpec,
    folder: &Folder,
) -> Result<Confinement, VmmError> {
    let mut confinement = Confinement::new(folder.number()?);
    confinement.show_programs().never_root();
    for path in parts_of(binary) {
        confinement.show(&path, &path);
    }
    confinement
        .show(&spec.kernel, KERNEL)
        .show(&spec.initramfs, INITRAMFS);
    for device in DEVICES {
        confinement.device(device);
    }
    if acceleration == Acceleration::Kvm {
        confinement.device("/dev/kvm");
    }
    if let Some(NetworkDevice::BuiltIn { .. }) = spec.network {
        confinement.keep_network();
    }
    Ok(confinement)
}

/// What belongs to a QEMU that is installed apart from the host's programs: in `PREFIX/bin`, what it looks for in
/// `PREFIX`. Never a whole folder that it happens to lie in, which may be a home.
fn parts_of(binary: &Path) -> Vec<PathBuf> {
    if Confinement::is_shown_with_programs(binary) {
        return Vec::new();
    }
    let mut parts = vec![binary.to_owned()];
    let folder = binary.parent().filter(|folder| folder.ends_with("bin"));
    if let Some(prefix) = folder.and_then(Path::parent) {
        let beside = ["lib", "lib64", "share/qemu", "share/seabios"].map(|name| prefix.join(name));
        parts.extend(beside.into_iter().filter(|path| path.is_dir()));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_qemu_in_a_home_does_not_bring_the_home_along() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["bin", "lib", "share/qemu", "share/keyrings", "Documents"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let at = |name: &str| home.path().join(name);
        assert_eq!(parts_of(&at("qemu")), [at("qemu")]);
        assert_eq!(
            parts_of(&at("bin/qemu")),
            [at("bin/qemu"), at("lib"), at("share/qemu")]
        );
        assert_eq!(parts_of(Path::new("/usr/local/bin/qemu")), Vec::<PathBuf>::new());
    }
}
