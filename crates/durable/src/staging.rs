//! What is half made: its names, and how what a killed maker left of them is removed.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Files and folders with this prefix are half made; one that nothing writes any more may be removed.
pub const STAGING: &str = ".new-";

/// A half made file in that folder, readable by its owner; dropped, it is removed.
///
/// # Errors
/// It cannot be created.
pub fn staging(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(STAGING).tempfile_in(folder)
}

/// Removes what is half made in a folder, while nothing makes anything there. What cannot be removed is told to `failed`.
/// Fine where there is no such folder.
///
/// # Errors
/// The folder cannot be read.
pub fn sweep(folder: &Path, failed: impl Fn(&Path, io::Error)) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries.flatten() {
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(STAGING.as_bytes())
        {
            continue;
        }
        let path = entry.path();
        let removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
        if let Err(error) = removed {
            failed(&path, error);
        }
    }
    Ok(())
}

/// Has the names in a folder survive a crash of the host.
///
/// # Errors
/// The folder cannot be synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_sweep_removes_what_is_half_made_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "x").unwrap();
        drop(staging(folder.path()).unwrap());
        staging(folder.path()).unwrap().keep().unwrap();
        fs::create_dir(at(".new-folder")).unwrap();
        fs::write(at(".new-folder/file"), "x").unwrap();
        symlink(outside.path(), at(".new-link")).unwrap();
        for name in ["new-", "whole", ".new"] {
            fs::write(at(name), "x").unwrap();
        }
        sweep(folder.path(), |path, error| panic!("{}: {error}", path.display())).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".new", "new-", "whole"]);
        assert!(outside.path().join("file").exists());
        sweep(&at("nowhere"), |_, _| unreachable!()).unwrap();
    }
}
