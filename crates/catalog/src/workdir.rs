//! Work folders that leave nothing behind.
//!
//! A plain user's build leaves files that belong to the user's subordinate ids, which only a user namespace with the
//! same ids can remove; and any build may leave folders in one another without end. So a tree is removed from within.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::build::room::{self, Room};
use crate::error::CatalogError;

/// Begins the name of each work folder.
const PREFIX: &str = "work-";
/// How often, and how soon again, removing is tried while something still writes there.
const MOST_ATTEMPTS: u32 = 100;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// A folder of one fetch or build, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    /// Locked while the folder is in use; the lock goes with the process.
    _lock: fs::File,
}

impl WorkDir {
    /// Makes one in `parent`, mode 0700.
    pub(crate) fn new(parent: &Path) -> Result<Self, CatalogError> {
        // It ends up inside quotes in apt's configuration.
        let plain = |text: &str| !text.contains(['"', '\\', '\'']) && !text.contains(char::is_control);
        if !parent.is_absolute() || !parent.to_str().is_some_and(plain) {
            return Err(CatalogError::FolderName {
                path: parent.to_owned(),
            });
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|source| CatalogError::file("create", parent, source))?;
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .map_err(|source| CatalogError::file("create a folder in", parent, source))?;
        let lock = lock(folder.path()).map_err(|source| CatalogError::file("lock", folder.path(), source))?;
        Ok(Self {
            path: folder.keep(),
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, CatalogError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(|source| CatalogError::file("create", &path, source))?;
        Ok(path)
    }

    /// Writes a file in it.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, CatalogError> {
        let path = self.path.join(name);
        fs::write(&path, content).map_err(|source| CatalogError::file("write", &path, source))?;
        Ok(path)
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a work folder could not be removed");
        }
    }
}

/// Removes what builds left in `work` whose process was killed; folders in use are left alone. For the start of a
/// daemon.
///
/// # Errors
/// The first folder that could not be removed; the others are removed all the same.
pub fn clean_work(work: &Path) -> Result<(), CatalogError> {
    let entries = match fs::read_dir(work) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(CatalogError::file("read", work, source)),
    };
    let mut result = Ok(());
    for entry in entries.flatten() {
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        let path = entry.path();
        let removed = match lock(&path) {
            Ok(_lock) => remove_tree(&path),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(source) = removed {
            result = result.and(Err(CatalogError::file("remove", path, source)));
        }
    }
    result
}

fn lock(folder: &Path) -> io::Result<fs::File> {
    let file = fs::File::open(folder)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Processes of a build that was killed may need a moment to die, and fill folders meanwhile.
fn remove_tree(path: &Path) -> io::Result<()> {
    for _ in 0..MOST_ATTEMPTS {
        match remove_once(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => thread::sleep(BETWEEN_ATTEMPTS),
            done => return done,
        }
    }
    remove_once(path)
}

fn remove_once(path: &Path) -> io::Result<()> {
    if path.join(room::TREE).is_dir() {
        Room::empty(path)?;
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_when_dropped_and_a_left_one_when_cleaned_but_not_one_in_use() {
        let parent = tempfile::tempdir().unwrap();
        let work = parent.path().join("recipes");
        clean_work(&work).unwrap();
        let used = WorkDir::new(&work).unwrap();
        used.file("a", "x").unwrap();
        let dropped = WorkDir::new(&work).unwrap();
        drop(dropped);
        let left = work.join("work-left");
        fs::create_dir_all(left.join("deep/er")).unwrap();
        fs::create_dir(work.join("other")).unwrap();
        clean_work(&work).unwrap();
        assert!(used.path().join("a").exists());
        assert!(!left.exists() && work.join("other").exists());
        assert_eq!(fs::read_dir(&work).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_that_something_still_writes_into_is_removed_once_that_has_ended() {
        let parent = tempfile::tempdir().unwrap();
        let folder = WorkDir::new(parent.path()).unwrap();
        let path = folder.path().to_owned();
        let stop = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0.. {
                    if fs::write(path.join(number.to_string()), "").is_err() || number == 2000 {
                        break;
                    }
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                }
            });
            drop(folder);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_whose_name_would_break_configuration_files_is_refused() {
        for bad in ["/tmp/a\"b", "/tmp/a\\b", "/tmp/a\nb", "/tmp/a'b", "relative"] {
            assert!(
                matches!(WorkDir::new(Path::new(bad)), Err(CatalogError::FolderName { .. })),
                "{bad}"
            );
        }
    }
}
