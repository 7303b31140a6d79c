//! Gives a file its name only once it is whole.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::{STAGING, sync_folder};

/// Where a small file of ours is written among files of the user's: a crash may leave it there.
const SMALL: &str = ".banger-new-";

/// Lets `fill` fill a new file and gives it the name `target`, replacing what is there. Where `fill` fails nothing is
/// left. Of two at once the later one stays, and a reader that opened the earlier one keeps a whole file. It survives a
/// crash of the host.
///
/// # Errors
/// What `fill` fails with, and what the system says to the rest.
pub fn publish<T, E: From<io::Error>>(
    target: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File, &Path) -> Result<T, E>,
) -> Result<T, E> {
    let folder = folder_of(target);
    let mut new = tempfile::Builder::new().prefix(STAGING).tempfile_in(folder)?;
    let path = new.path().to_owned();
    let made = fill(new.as_file_mut(), &path)?;
    new.as_file().set_permissions(Permissions::from_mode(mode))?;
    new.as_file().sync_all()?;
    new.persist(target).map_err(|error| error.error)?;
    sync_folder(folder)?;
    Ok(made)
}

/// Writes a small file whole, so that it survives a crash of the host.
///
/// # Errors
/// It cannot be written; what was there is as it was.
pub fn write(target: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let file = filled(target, mode, bytes)?;
    file.as_file().sync_all()?;
    file.persist(target)?;
    sync_folder(folder_of(target))
}

/// Writes a small file whole; after a crash of the host it may be the earlier one, or gone.
///
/// # Errors
/// It cannot be written; what was there is as it was.
pub fn replace(target: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    filled(target, mode, bytes)?.persist(target)?;
    Ok(())
}

fn filled(target: &Path, mode: u32, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(SMALL)
        .tempfile_in(folder_of(target))?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_file_is_published_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let cut = publish(&target, 0o600, |out, path| {
            out.write_all(&[7; 10_000])?;
            assert!(
                path.exists() && !target.exists(),
                "nothing has the name while it is written"
            );
            Err::<(), _>(io::Error::other("cut"))
        });
        assert_eq!((cut.is_err(), names()), (true, 0), "a failure leaves nothing");
        publish(&target, 0o640, |out, _| out.write_all(&[7; 20_000])).unwrap();
        assert_eq!(
            fs::metadata(&target).unwrap().permissions().mode() & 0o7777,
            0o640
        );
        // A failure later leaves the published one as it is.
        let before = fs::read(&target).unwrap();
        publish(&target, 0o600, |_, _| Err::<(), _>(io::Error::other("cut"))).unwrap_err();
        assert_eq!((fs::read(&target).unwrap(), names()), (before, 1));
    }

    #[test]
    fn a_small_file_replaces_another_and_needs_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        for write in [write, replace] {
            write(&target, 0o600, b"one").unwrap();
            write(&target, 0o644, b"two").unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"two");
            assert_eq!(
                fs::metadata(&target).unwrap().permissions().mode() & 0o7777,
                0o644
            );
            write(&folder.path().join("no/file"), 0o600, b"").unwrap_err();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_reader_sees_one_whole_file_or_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        let write = |byte: u8| {
            publish(&target, 0o644, |out, _| {
                for _ in 0..64 {
                    out.write_all(&[byte; 1024])?;
                }
                Ok::<_, io::Error>(())
            })
            .unwrap();
        };
        write(0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let bytes = fs::read(&target).unwrap();
                    assert_eq!(bytes.len(), 64 * 1024);
                    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                }
            });
            for byte in 1..20 {
                write(byte);
            }
            done.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
    }
}
