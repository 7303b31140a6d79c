//! Blobs on disk by digest. A name is given only to what is complete, and each use checks the bytes again: what a crash
//! or a failing disk has torn is fetched anew, so nothing needs to be synced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::digest::Digest;
use crate::error::OciError;
use crate::layer::verify;
use progress::Cancel;

/// How often a lock that another holds is tried.
const POLL: Duration = Duration::from_millis(20);
const PARTIAL: &str = "partial";
const LOCK: &str = "lock";

/// A folder of blobs that several processes may use at once.
#[derive(Clone, Debug)]
pub struct LayerCache {
    folder: PathBuf,
}

/// A blob that was pruned, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pruned {
    /// Its name.
    pub digest: Digest,
    /// What it, or what had come of it, takes of the disk.
    pub bytes: u64,
}

impl LayerCache {
    /// The cache in `folder`, which is made, for its owner alone, where it is missing.
    ///
    /// # Errors
    /// [`OciError::File`] if it cannot be made.
    pub fn open(folder: &Path) -> Result<Self, OciError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(OciError::file(folder, "create"))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes blobs that `keep` does not want, and downloads that nobody works on. What somebody reads stays readable
    /// for them; what somebody fetches right now is left. `dry_run` only tells.
    ///
    /// # Errors
    /// [`OciError::File`] for the first that cannot be removed; the others are gone nevertheless.
    pub fn prune(&self, keep: impl Fn(&Digest) -> bool, dry_run: bool) -> Result<Vec<Pruned>, OciError> {
        let mut pruned = Vec::new();
        let mut failed = None;
        let entries = fs::read_dir(&self.folder).map_err(OciError::file(&self.folder, "read"))?;
        for entry in entries {
            let entry = entry.map_err(OciError::file(&self.folder, "read"))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let (hex, kind) = name.split_once('.').unwrap_or((name, ""));
            let Ok(digest) = Digest::parse(&format!("sha256:{hex}")) else {
                continue;
            };
            let unwanted = match kind {
                "" => !keep(&digest),
                PARTIAL | LOCK => true,
                _ => false,
            };
            if !unwanted {
                continue;
            }
            let Some(lock) = self.try_lock(&digest)? else {
                continue;
            };
            let bytes = entry.metadata().map_or(0, |data| data.blocks() * 512);
            if kind != LOCK {
                pruned.push(Pruned { digest, bytes });
            }
            if !dry_run && kind != LOCK {
                failed = remove(&entry.path()).err().or(failed);
            }
            // The lock's own file goes with the lock.
            drop(lock);
        }
        pruned.sort();
        match failed {
            Some(error) => Err(error),
            None => Ok(pruned),
        }
    }

    /// The blob, if it is there and whole. One that is not is removed.
    pub(crate) fn get(
        &self,
        digest: &Digest,
        size: u64,
        cancel: &Cancel,
    ) -> Result<Option<Arc<File>>, OciError> {
        let path = self.path(digest, "");
        let file = match File::open(&path) {
            Ok(file) => Arc::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OciError::file(path, "open")(error)),
        };
        match verify(&file, *digest, size, cancel, OciError::file(&path, "read")) {
            Ok(()) => Ok(Some(file)),
            Err(error @ (OciError::WrongDigest { .. } | OciError::WrongSize { .. })) => {
                tracing::warn!(%error, path = %path.display(), "removing a damaged blob from the cache");
                remove(&path)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps a small blob.
    pub(crate) fn put(&self, digest: &Digest, bytes: &[u8], cancel: &Cancel) -> Result<(), OciError> {
        let lock = self.lock(digest, cancel)?;
        let partial = self.partial(digest, &lock)?;
        let failed = |source| OciError::file(&partial.path, "write")(source);
        partial.file.set_len(0).map_err(failed)?;
        partial.file.write_all_at(bytes, 0).map_err(failed)?;
        partial.publish().map(drop)
    }

    /// Waits until nobody else fetches the blob.
    pub(crate) fn lock(&self, digest: &Digest, cancel: &Cancel) -> Result<Lock, OciError> {
        loop {
            if let Some(lock) = self.try_lock(digest)? {
                return Ok(lock);
            }
            cancel.sleep(POLL)?;
        }
    }

    fn try_lock(&self, digest: &Digest) -> Result<Option<Lock>, OciError> {
        let path = self.path(digest, LOCK);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path)
                .map_err(OciError::file(&path, "open"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(OciError::file(&path, "lock")(error)),
            }
            // The one before may have removed the file between our opening and locking it.
            let ours = file.metadata().map(|data| (data.dev(), data.ino()));
            let there = fs::metadata(&path).map(|data| (data.dev(), data.ino()));
            if let (Ok(ours), Ok(there)) = (ours, there)
                && ours == there
            {
                return Ok(Some(Lock { path, _file: file }));
            }
        }
    }

    /// The file in which a blob grows. Only with its lock.
    pub(crate) fn partial(&self, digest: &Digest, _: &Lock) -> Result<Partial, OciError> {
        let path = self.path(digest, PARTIAL);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(OciError::file(&path, "open"))?;
        Ok(Partial {
            path,
            target: self.path(digest, ""),
            file,
        })
    }

    fn path(&self, digest: &Digest, kind: &str) -> PathBuf {
        match kind {
            "" => self.folder.join(digest.hex()),
            kind => self.folder.join(format!("{}.{kind}", digest.hex())),
        }
    }
}

fn remove(path: &Path) -> Result<(), OciError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OciError::file(path, "remove")(error)),
        _ => Ok(()),
    }
}

/// Held while a blob is fetched. Its file goes with it.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked: whoever opens it now notices that it is gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// A blob that is not whole yet.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) path: PathBuf,
    target: PathBuf,
    pub(crate) file: File,
}

impl Partial {
    /// Gives the blob its name. The caller has checked its digest.
    pub(crate) fn publish(self) -> Result<Arc<File>, OciError> {
        fs::rename(&self.path, &self.target).map_err(OciError::file(&self.path, "rename"))?;
        let file = File::open(&self.target).map_err(OciError::file(&self.target, "open"))?;
        Ok(Arc::new(file))
    }

    /// Gives up on what has come.
    pub(crate) fn discard(self) -> Result<(), OciError> {
        remove(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &LayerCache, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        cache.put(&digest, bytes, &Cancel::default()).unwrap();
        digest
    }

    #[test]
    fn zero_length_and_torn_files_are_never_taken_for_blobs() {
        let folder = tempfile::tempdir().unwrap();
        let cache = LayerCache::open(folder.path()).unwrap();
        let cancel = Cancel::default();
        for torn in [&b""[..], b"who", b"whole, and more", b"hole?"] {
            let digest = put(&cache, b"whole");
            assert!(cache.get(&digest, 5, &cancel).unwrap().is_some());
            fs::write(cache.path(&digest, ""), torn).unwrap();
            assert!(cache.get(&digest, 5, &cancel).unwrap().is_none());
            assert!(!cache.path(&digest, "").exists());
        }
    }

    #[test]
    fn a_lock_is_held_by_one_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = LayerCache::open(folder.path()).unwrap();
        let digest = Digest::of(b"x");
        let held = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _lock = cache.lock(&digest, &Cancel::default()).unwrap();
                        assert_eq!(held.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        held.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_wait_for_a_lock_can_be_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let cache = LayerCache::open(folder.path()).unwrap();
        let digest = Digest::of(b"x");
        let _held = cache.lock(&digest, &Cancel::default()).unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        assert!(matches!(cache.lock(&digest, &cancel), Err(OciError::Cancelled)));
    }

    #[test]
    fn prune_takes_what_is_unwanted_and_nobody_fetches() {
        let folder = tempfile::tempdir().unwrap();
        let cache = LayerCache::open(folder.path()).unwrap();
        let (kept, gone) = (put(&cache, b"kept"), put(&cache, b"gone"));
        let (left, busy) = (Digest::of(b"left"), Digest::of(b"busy"));
        fs::write(cache.path(&left, PARTIAL), b"le").unwrap();
        fs::write(cache.path(&busy, PARTIAL), b"bus").unwrap();
        fs::write(folder.path().join("stranger"), b"").unwrap();
        let lock = cache.lock(&busy, &Cancel::default()).unwrap();
        let mut expected = [gone, left].map(|digest| {
            let kind = if digest == left { PARTIAL } else { "" };
            let taken = fs::metadata(cache.path(&digest, kind)).unwrap().blocks() * 512;
            Pruned { digest, bytes: taken }
        });
        expected.sort();
        let names = || fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(cache.prune(|digest| *digest == kept, true).unwrap(), expected);
        assert_eq!(names(), 6);
        let mut reader = cache.get(&gone, 4, &Cancel::default()).unwrap().unwrap();
        assert_eq!(cache.prune(|digest| *digest == kept, false).unwrap(), expected);
        drop(lock);
        assert_eq!(names(), 3);
        let mut text = String::new();
        io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(text, "gone");
    }
}
