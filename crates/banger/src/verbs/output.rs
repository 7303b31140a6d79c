//! Files that a command writes: made beside the one that was named, which they replace once they are whole.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use archive::leftover;
use rustix::fs::{Mode, OFlags, open};
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// How often a file is made anew that another command took for left over.
const ATTEMPTS: u32 = 10;
/// Characters behind the prefix of a name.
const RANDOM: usize = 6;

/// A file in `folder` whose name begins with `prefix`, until it gets that of its target. What killed commands left
/// there under such names is removed first.
///
/// # Errors
/// Nothing can be made there.
pub fn begin(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let opened = open(
        folder,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    leftover::sweep(&opened, |name| {
        let rest = name.strip_prefix(prefix.as_bytes());
        rest.is_some_and(|rest| rest.len() == RANDOM && rest.iter().all(u8::is_ascii_alphanumeric))
    });
    for _ in 0..ATTEMPTS {
        let file = tempfile::Builder::new()
            .prefix(prefix)
            .rand_bytes(RANDOM)
            .tempfile_in(folder)?;
        let name = file.path().file_name().unwrap_or_default();
        if leftover::hold(file.as_file(), &opened, name.as_bytes()) {
            return Ok(file);
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Gives it the name of its target once it is on the disk: what it was made from may go right after.
///
/// # Errors
/// It cannot be written, or takes no such name.
pub fn finish(file: NamedTempFile, output: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(output)?;
    sync_folder(output)
}

/// Sees to it that a new name is on the disk.
///
/// # Errors
/// It cannot be written.
pub fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    // One may be for making files only.
    let Ok(opened) = File::open(folder.unwrap_or(Path::new("."))) else {
        return Ok(());
    };
    match opened.sync_all() {
        // Some file systems have it for files alone.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        outcome => outcome,
    }
}

/// Refuses a device, a pipe or a socket, whose place a file would take: as root, that of the whole machine's /dev/null.
///
/// # Errors
/// It is one.
pub fn replaceable(output: &Path) -> Result<(), Failure> {
    match output.metadata() {
        Ok(found) if !found.is_file() && !found.is_dir() => Err(Failure::new(format!(
            "{} is a device, a pipe or a socket, and no file takes its place",
            output.display()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_command_left_beside_its_target_is_removed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let living = begin(folder.path(), ".own-").unwrap();
        for (name, text) in [
            (".own-a1B2c3", "half"),
            (".own-notes", "x"),
            (".other-a1B2c3", "x"),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        let next = begin(folder.path(), ".own-").unwrap();
        assert!(!at(".own-a1B2c3").exists());
        for stays in [
            living.path(),
            next.path(),
            &at(".own-notes"),
            &at(".other-a1B2c3"),
        ] {
            assert!(stays.exists(), "{}", stays.display());
        }
        living.persist(at("whole")).unwrap();
        drop(next);
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 3, "a file that is whole stays, one that is dropped goes");
    }

    #[test]
    fn only_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        replaceable(&file).unwrap();
        std::fs::write(&file, "").unwrap();
        replaceable(&file).unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for bad in [Path::new("/dev/null"), &socket, &link] {
            let refused = replaceable(bad).unwrap_err();
            assert!(
                refused.message().contains("no file takes its place"),
                "{}",
                refused.message()
            );
        }
    }
}
