//! The folder that Firecracker takes for its whole world, and the names in it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::{Folder, MachineSpec, VmmError};

/// It, in the VM's folder.
pub(crate) const WORLD: &str = "firecracker";
/// What Firecracker may write in.
pub(super) const RUN: &str = "run";

// As Firecracker is told them, in its world.
pub(super) const KERNEL: &str = "kernel";
pub(super) const INITRAMFS: &str = "initramfs";
pub(super) const API: &str = "run/api.sock";
pub(super) const AGENT: &str = "run/agent.sock";
pub(super) const LOG: &str = "run/log";
pub(super) const METRICS: &str = "run/metrics";

/// Firecracker's name for a drive, and for its file.
pub(super) fn drive(number: usize) -> String {
    format!("drive{number}")
}

/// A path of the world, in the VM's folder.
pub(super) fn in_folder(name: &str) -> String {
    format!("{WORLD}/{name}")
}

/// Every file that the machine is made of: its name in the world, where it lies, and whether it is only read.
pub(super) fn parts(spec: &MachineSpec) -> Vec<(String, PathBuf, bool)> {
    let read_only = [(KERNEL, &spec.kernel), (INITRAMFS, &spec.initramfs)];
    let read_only = read_only.map(|(name, path)| (name.to_owned(), path.clone(), true));
    let drives = spec.drives.iter().enumerate();
    let drives = drives.map(|(number, part)| (drive(number), part.path.clone(), part.read_only));
    read_only.into_iter().chain(drives).collect()
}

/// Makes the world anew, with a link to each part.
pub(super) fn make(folder: &Folder, parts: &[(String, PathBuf, bool)]) -> Result<PathBuf, VmmError> {
    let world = folder.make_folder(WORLD)?;
    folder.make_folder(&in_folder(RUN))?;
    for (name, path, _) in parts {
        let link = world.join(name);
        symlink(absolute(path)?, &link).map_err(|source| VmmError::File {
            action: "make",
            path: link,
            source,
        })?;
    }
    Ok(world)
}

fn absolute(path: &Path) -> Result<PathBuf, VmmError> {
    std::path::absolute(path).map_err(|source| VmmError::File {
        action: "find",
        path: path.to_owned(),
        source,
    })
}
