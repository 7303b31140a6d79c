//! Work folders that leave nothing behind.
//!
//! A plain user's build leaves files that belong to the user's subordinate ids, which only a user namespace with the
//! same ids can remove; and any build may leave folders in one another without end. So a tree is removed from within.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::build::room::{self, Room};
use crate::error::CatalogError;

/// Begins the name of each work folder.
const PREFIX: &str = "work-";
/// How often, and how soon again, removing is tried while something still writes there.
const MOST_ATTEMPTS: u32 = 100;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);
/// How long a dropped folder is waited for. A tree of millions of folders takes some file systems an hour.
const PATIENCE: Duration = Duration::from_secs(10);

/// A folder of one fetch or build, removed with everything in it when dropped. What takes long goes on in the background;
/// if this process ends meanwhile, the next one goes on.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    /// Locked until the folder is gone; the lock goes with the process.
    lock: Option<fs::File>,
    patience: Duration,
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
            lock: Some(lock),
            patience: PATIENCE,
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
        let (path, lock) = (self.path.clone(), self.lock.take());
        let (done, waits) = mpsc::channel::<()>();
        let remove = move || {
            let removed = remove_tree(&path);
            drop((lock, done));
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a work folder could not be removed");
            }
        };
        let started = thread::Builder::new()
            .name("remove-work".to_owned())
            .spawn(remove);
        match started {
            // Nothing is ever sent: it ends.
            Ok(_) => drop(waits.recv_timeout(self.patience)),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "a work folder stays until the next start");
            }
        }
    }
}

/// What builds left whose process was killed, held so that nobody takes it for a folder in use, or another for it.
#[derive(Debug, Default)]
pub struct LeftWork {
    folders: Vec<(PathBuf, fs::File)>,
    unheld: Option<CatalogError>,
}

impl LeftWork {
    /// Finds it in `work`; folders in use are none of it. For the start of a daemon.
    ///
    /// # Errors
    /// `work` cannot be read.
    pub fn find(work: &Path) -> Result<Self, CatalogError> {
        let mut left = Self::default();
        let entries = match fs::read_dir(work) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(left),
            Err(source) => return Err(CatalogError::file("read", work, source)),
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                continue;
            }
            let path = entry.path();
            match lock(&path) {
                Ok(lock) => left.folders.push((path, lock)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(source) => left.unheld = Some(CatalogError::file("lock", path, source)),
            }
        }
        Ok(left)
    }

    /// Removes it, however long that takes.
    ///
    /// # Errors
    /// The first folder that could not be removed; the others are removed all the same.
    pub fn remove(self) -> Result<(), CatalogError> {
        let mut result = self.unheld.map_or(Ok(()), Err);
        for (path, _lock) in self.folders {
            if let Err(source) = remove_tree(&path) {
                result = result.and(Err(CatalogError::file("remove", path, source)));
            }
        }
        result
    }
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
        LeftWork::find(&work).unwrap().remove().unwrap();
        let used = WorkDir::new(&work).unwrap();
        used.file("a", "x").unwrap();
        let dropped = WorkDir::new(&work).unwrap();
        drop(dropped);
        let left = work.join("work-left");
        fs::create_dir_all(left.join("deep/er")).unwrap();
        fs::create_dir(work.join("other")).unwrap();
        let found = LeftWork::find(&work).unwrap();
        // What begins while a daemon still cleans up is its own.
        let later = WorkDir::new(&work).unwrap();
        found.remove().unwrap();
        assert!(used.path().join("a").exists() && later.path().exists());
        drop(later);
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
    fn a_folder_that_takes_long_to_remove_is_removed_in_the_background() {
        let parent = tempfile::tempdir().unwrap();
        let mut folder = WorkDir::new(parent.path()).unwrap();
        folder.patience = Duration::ZERO;
        let path = folder.path().to_owned();
        for number in 0..10_000 {
            fs::write(path.join(number.to_string()), "").unwrap();
        }
        drop(folder);
        assert!(path.exists(), "it was waited for");
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while path.exists() {
            assert!(std::time::Instant::now() < deadline, "it is still there");
            thread::sleep(BETWEEN_ATTEMPTS);
        }
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
