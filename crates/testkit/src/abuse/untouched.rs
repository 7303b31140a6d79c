//! Folders that a guest must not reach, but for what was asked for.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest file whose content is kept.
const KEPT: u64 = 4096;

/// What there is in some folders, with modes and sizes.
#[derive(Debug)]
pub struct Untouched {
    folders: Vec<PathBuf>,
    before: BTreeMap<PathBuf, String>,
}

impl Untouched {
    /// Remembers what there is now.
    ///
    /// # Panics
    /// A folder cannot be read.
    #[must_use]
    pub fn of(folders: Vec<PathBuf>) -> Self {
        let before = found_in(folders.clone());
        Self { folders, before }
    }

    /// Fails where anything but what was asked for has come or changed; takes away what was asked for.
    ///
    /// # Panics
    /// Something has.
    pub fn check(&self, what: &str, asked: &[PathBuf]) {
        let now = found_in(self.folders.clone());
        for (path, entry) in &now {
            let mode = u32::from_str_radix(entry.split(' ').next().unwrap(), 8).unwrap();
            assert_eq!(mode & 0o6000, 0, "{what}: {} has set-id bits", path.display());
            assert!(
                matches!(mode & 0o170_000, 0o100_000 | 0o040_000 | 0o120_000),
                "{what}: {} is a device or a pipe",
                path.display()
            );
            if asked.iter().any(|asked| path.starts_with(asked)) {
                continue;
            }
            assert_eq!(
                self.before.get(path),
                Some(entry),
                "{what}: {} was not asked for",
                path.display()
            );
        }
        for path in self.before.keys() {
            assert!(now.contains_key(path), "{what}: {} is gone", path.display());
        }
        assert!(!Path::new("/tmp/banger-evil").exists(), "{what}");
        for path in asked {
            let _ = fs::remove_dir_all(path);
            let _ = fs::remove_file(path);
        }
    }
}

/// What is in folders, with modes, sizes and, of small files, content.
///
/// # Panics
/// A folder cannot be read.
#[must_use]
pub fn found_in(mut folders: Vec<PathBuf>) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let mut content = Vec::new();
            if metadata.is_dir() {
                folders.push(path.clone());
            } else if metadata.is_file() && metadata.len() < KEPT {
                content = fs::read(&path).unwrap_or_default();
            }
            let size = if metadata.is_file() { metadata.len() } else { 0 };
            let entry = format!("{:o} {size} {}", metadata.mode(), content.escape_ascii());
            found.insert(path, entry);
        }
    }
    found
}
