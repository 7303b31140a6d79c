//! Which VMM a machine gets on this host, and finding one again whichever it was.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::qemu::{Acceleration, Qemu};
use crate::{Backend, Folder, Machine, VmmError, kvm};

/// Name of QEMU's binary on `PATH`.
const QEMU: &str = "qemu-system-x86_64";

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The best one that works here.
    #[default]
    Auto,
    /// QEMU, with KVM where that is usable.
    Qemu,
}

/// The VMM for a start, and why it is this one (empty where there is nothing to say).
///
/// `qemu` is QEMU's binary, if not the one on `PATH`.
///
/// # Errors
/// [`VmmError::BinaryMissing`] if there is none.
pub fn choose(wanted: Wanted, qemu: Option<&Path>) -> Result<(Arc<dyn Backend>, String), VmmError> {
    match wanted {
        Wanted::Auto | Wanted::Qemu => {
            let binary = find_qemu(qemu, std::env::var_os("PATH").as_deref())?;
            let (acceleration, reason) = match kvm::usable() {
                Ok(()) => (Acceleration::Kvm, String::new()),
                Err(why) => (Acceleration::Tcg, why.to_string()),
            };
            Ok((Arc::new(Qemu::new(binary, acceleration)), reason))
        }
    }
}

/// The machine that `folder` tells of, whichever backend started it; no VMM needs to be installed. `None`: it is
/// gone, or its pid belongs to something else now.
///
/// # Errors
/// The folder or its record cannot be read.
pub async fn find(folder: &Path) -> Result<Option<Arc<dyn Machine>>, VmmError> {
    match Folder::open(folder) {
        Ok(folder) => crate::qemu::find(folder),
        // Nothing was ever started in a folder that is not there.
        Err(VmmError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn find_qemu(configured: Option<&Path>, path: Option<&OsStr>) -> Result<PathBuf, VmmError> {
    let missing = |binary: String| VmmError::BinaryMissing { binary };
    match configured {
        Some(binary) if binary.exists() => Ok(binary.to_owned()),
        Some(binary) => Err(missing(binary.display().to_string())),
        None => std::env::split_paths(path.unwrap_or_default())
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(QEMU))
            .find(|candidate| is_executable(candidate))
            .ok_or_else(|| missing(QEMU.to_owned())),
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_qemu_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let configured = empty.path().join("my-qemu");
        let error = find_qemu(Some(&configured), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} was not found", configured.display())
        );
        let error = find_qemu(None, Some(empty.path().as_os_str())).unwrap_err();
        assert_eq!(error.to_string(), "qemu-system-x86_64 was not found");
    }

    #[test]
    fn a_folder_in_the_working_directory_is_not_searched() {
        let error = find_qemu(None, Some(OsStr::new(".:bin:"))).unwrap_err();
        assert!(matches!(error, VmmError::BinaryMissing { .. }));
    }
}
