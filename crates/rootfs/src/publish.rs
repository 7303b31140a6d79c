//! Gives a file its name only once it is whole and on disk: written beside the target, synced, renamed.

use std::fs::File;
use std::io;
use std::path::Path;

/// Files with this prefix are unfinished; whoever finds one that nobody writes may remove it.
const UNFINISHED: &str = ".new-";

/// Lets `write` fill a new file and gives it the name `target`, replacing what is there. Where `write` fails nothing
/// is left. Of two at once the later one stays, and who has opened the earlier one keeps a whole file.
///
/// # Errors
/// What `write` fails with, and what the system says to the rest.
pub(crate) fn publish<T, E: From<io::Error>>(
    target: &Path,
    mode: u32,
    write: impl FnOnce(&mut File, &Path) -> Result<T, E>,
) -> Result<T, E> {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut new = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    let path = new.path().to_owned();
    let made = write(new.as_file_mut(), &path)?;
    new.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))?;
    new.as_file().sync_all()?;
    new.persist(target).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::erofs::{Builder, Entry, Options};

    /// An image of one file, whose data may end too early.
    fn image(out: &mut File, data: &[u8], size: u64) -> io::Result<()> {
        let mut builder = Builder::new(out, Options::default()).map_err(io::Error::other)?;
        let added = builder.add(&Entry::file(b"a", size), data);
        added.map_err(io::Error::other)?;
        builder.finish().map(drop).map_err(io::Error::other)
    }

    #[test]
    fn an_image_is_published_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("image.erofs");
        let names = || fs::read_dir(folder.path()).unwrap().count();

        let cut = publish(&target, 0o600, |out, _| {
            assert!(!target.exists(), "nothing has the name while it is written");
            image(out, &[7; 10_000], 20_000)
        });
        assert!(cut.is_err());
        assert_eq!(names(), 0, "a failed image leaves nothing");

        publish(&target, 0o600, |out, _| {
            image(out, &[7; 20_000], 20_000)?;
            assert!(!target.exists());
            Ok::<_, io::Error>(())
        })
        .unwrap();
        assert_eq!(names(), 1);
        assert_eq!(
            fs::metadata(&target).unwrap().permissions().mode() & 0o7777,
            0o600
        );

        // A failure later leaves the published one as it is.
        let before = fs::read(&target).unwrap();
        publish(&target, 0o600, |out, _| image(out, &[8; 10], 20_000)).unwrap_err();
        assert_eq!(fs::read(&target).unwrap(), before);
        assert_eq!(names(), 1);
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
