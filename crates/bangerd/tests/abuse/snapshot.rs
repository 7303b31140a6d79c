//! All that lies in a folder at one moment, to be held against what lies there later.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files up to this size are compared by what they hold, larger ones by size and time.
const LARGEST: u64 = 64 << 10;

/// Files, folders, links and whatever else, each with its mode, size, time and content.
pub struct Snapshot(BTreeMap<PathBuf, String>);

impl Snapshot {
    pub fn of(folder: &Path) -> Self {
        let mut found = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                let content = match metadata.is_file() && metadata.len() <= LARGEST {
                    true => fs::read(&path).unwrap(),
                    false if metadata.is_symlink() => {
                        fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
                    }
                    false => Vec::new(),
                };
                let (mode, size, seconds, rest) = (
                    metadata.mode(),
                    metadata.len(),
                    metadata.mtime(),
                    metadata.mtime_nsec(),
                );
                let state = format!("{mode:o} {size} {seconds}.{rest:09} {}", content.escape_ascii());
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path, state);
            }
        }
        Self(found)
    }

    /// The paths that have come, gone or changed until `now`, in order.
    pub fn changed(&self, now: &Self) -> Vec<PathBuf> {
        let paths: std::collections::BTreeSet<&PathBuf> = self.0.keys().chain(now.0.keys()).collect();
        paths
            .into_iter()
            .filter(|path| self.0.get(*path) != now.0.get(*path))
            .cloned()
            .collect()
    }
}
