//! Which VMM a machine gets on this host, and finding one again whichever it was.

mod again;

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use again::choose_again;

use crate::firecracker::{self, Firecracker, Jailer, WORLD};
use crate::kvm::{self, NoKvm};
use crate::qemu::{self, Acceleration, Qemu};
use crate::spec::{TAPS, taps};
use crate::{Backend, Confine, Folder, Machine, VmmError};

/// Names of the binaries on `PATH`.
const QEMU: &str = "qemu-system-x86_64";
const FIRECRACKER: &str = "firecracker";
const JAILER: &str = "jailer";

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The best one that works here: Firecracker with KVM, QEMU with KVM, QEMU.
    #[default]
    Auto,
    /// QEMU, with KVM where that is usable.
    Qemu,
    /// Firecracker, also where KVM does not look usable.
    Firecracker,
}

/// Where the VMMs are; on `PATH` where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binaries {
    /// QEMU.
    pub qemu: Option<PathBuf>,
    /// Firecracker.
    pub firecracker: Option<PathBuf>,
    /// Firecracker's jailer.
    pub jailer: Option<PathBuf>,
    /// Where jails are made; Firecracker runs without any if there is no such place.
    pub jails: Option<PathBuf>,
    /// Whether they run where they cannot be confined.
    pub confine: Confine,
}

/// The VMM for a start, and why it is this one (empty where there is nothing to say).
///
/// # Errors
/// [`VmmError::BinaryMissing`] if there is none, [`VmmError::Unfit`] if the one that is asked for is of a release that
/// guests are not run on, [`VmmError::Spawn`] if it does not say which it is.
pub fn choose(wanted: Wanted, binaries: &Binaries) -> Result<(Arc<dyn Backend>, String), VmmError> {
    let path = std::env::var_os("PATH");
    choose_from(wanted, binaries, path.as_deref(), kvm::usable().err().as_ref())
}

fn choose_from(
    wanted: Wanted,
    binaries: &Binaries,
    path: Option<&OsStr>,
    no_kvm: Option<&NoKvm>,
) -> Result<(Arc<dyn Backend>, String), VmmError> {
    let reason = no_kvm.map_or_else(String::new, ToString::to_string);
    match (wanted, no_kvm) {
        (Wanted::Firecracker, _) => Ok((Arc::new(walled_firecracker(binaries, path)?), reason)),
        (Wanted::Qemu, _) | (Wanted::Auto, Some(_)) => Ok((qemu(binaries, path, no_kvm)?, reason)),
        (Wanted::Auto, None) => match walled_firecracker(binaries, path) {
            Ok(firecracker) => match taps() {
                Ok(()) => Ok((Arc::new(firecracker), reason)),
                Err(error) => Ok((
                    qemu(binaries, path, no_kvm)?,
                    format!(
                        "{} would have no network: {TAPS} does not open: {error}",
                        firecracker.name()
                    ),
                )),
            },
            // Nobody has asked for it, and it is not there.
            Err(VmmError::BinaryMissing { .. })
                if binaries.firecracker.is_none() && binaries.jails.is_none() =>
            {
                Ok((qemu(binaries, path, no_kvm)?, reason))
            }
            Err(error) => Ok((qemu(binaries, path, no_kvm)?, why(&error))),
        },
    }
}

fn qemu(
    binaries: &Binaries,
    path: Option<&OsStr>,
    no_kvm: Option<&NoKvm>,
) -> Result<Arc<dyn Backend>, VmmError> {
    let binary = find_binary(QEMU, binaries.qemu.as_deref(), path)?;
    let acceleration = match no_kvm {
        None => Acceleration::Kvm,
        Some(_) => Acceleration::Tcg,
    };
    Ok(Arc::new(
        Qemu::new(binary, acceleration).with_confinement(binaries.confine),
    ))
}

/// One of a release that guests are run on, in jails if they are asked for.
fn walled_firecracker(binaries: &Binaries, path: Option<&OsStr>) -> Result<Firecracker, VmmError> {
    let firecracker = find_firecracker(binaries.firecracker.as_deref(), path)?;
    let jailer = match &binaries.jails {
        Some(_) if !rustix::process::geteuid().is_root() => return Err(VmmError::JailerNeedsRoot),
        Some(jails) => Some(Jailer::new(
            find_binary(JAILER, binaries.jailer.as_deref(), path)?,
            jails,
        )),
        None => None,
    };
    Ok(firecracker.with_jailer(jailer).with_confinement(binaries.confine))
}

/// An error with its causes, in one line.
fn why(error: &VmmError) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        told.push_str(": ");
        told.push_str(&next.to_string());
        cause = next.source();
    }
    told
}

/// The release of this host's Firecracker, if one is installed.
///
/// # Errors
/// As of [`choose`].
#[must_use]
pub fn installed_firecracker(binaries: &Binaries) -> Option<Result<firecracker::Version, VmmError>> {
    let path = std::env::var_os("PATH");
    match find_firecracker(binaries.firecracker.as_deref(), path.as_deref()) {
        Err(VmmError::BinaryMissing { .. }) => None,
        found => Some(found.map(|firecracker| firecracker.version())),
    }
}

/// One of a release that guests are run on.
fn find_firecracker(configured: Option<&Path>, path: Option<&OsStr>) -> Result<Firecracker, VmmError> {
    let binary = find_binary(FIRECRACKER, configured, path)?;
    let version = firecracker::version(&binary)?;
    match version.check() {
        Ok(()) => Ok(Firecracker::new(binary, version)),
        Err(reason) => Err(VmmError::Unfit {
            binary,
            version,
            reason,
        }),
    }
}

/// The machine that `folder` tells of, whichever backend started it; no VMM needs to be installed. `None`: it is
/// gone, or its pid belongs to something else now.
///
/// # Errors
/// The folder or its record cannot be read.
pub async fn find(folder: &Path) -> Result<Option<Arc<dyn Machine>>, VmmError> {
    match Folder::open(folder) {
        // What a VMM leaves beside its record says which one it is.
        // It may be a link to a jail that is gone already.
        Ok(opened) if folder.join(WORLD).symlink_metadata().is_ok() => firecracker::find(opened),
        Ok(opened) => qemu::find(opened),
        // Nothing was ever started in a folder that is not there.
        Err(VmmError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn find_binary(name: &str, configured: Option<&Path>, path: Option<&OsStr>) -> Result<PathBuf, VmmError> {
    let missing = |binary: String| VmmError::BinaryMissing { binary };
    // A name is looked for on `PATH` as the default one is; a path stands for itself.
    let name = match configured {
        Some(binary) if binary.is_absolute() && binary.exists() => return Ok(binary.to_owned()),
        Some(binary) if binary.is_absolute() => return Err(missing(binary.display().to_string())),
        Some(name) => name,
        None => Path::new(name),
    };
    std::env::split_paths(path.unwrap_or_default())
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| missing(name.display().to_string()))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
