//! Holes in the place of zeros: a snapshot's memory takes the space of what its guest has touched.
//!
//! Firecracker writes all of the memory, pages that were never touched as zeros. A hole reads as zeros too, so the file
//! says the same as before, whichever moment a crash cuts this off at.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

/// Unit of the search: a page of the guest's, and a block of most file systems.
const PAGE: usize = 4096;
/// Shortest hole: smaller ones would cut the file into more pieces than their space is worth.
const SHORTEST: u64 = 64 << 10;
/// How much is read at a time.
const BUFFER: usize = 1 << 20;

/// Frees the zeros of a file that a VMM wrote.
///
/// # Errors
/// It is no plain file, or cannot be read. On a file system without holes the file stays as it is.
pub(super) fn dig(path: &Path) -> io::Result<()> {
    // A jailed VMM may have put there what it likes.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    match dig_in(&file) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}

fn dig_in(file: &File) -> io::Result<()> {
    let size = file.metadata()?.len();
    let mut buffer = vec![0; BUFFER];
    let mut position = 0;
    while position < size {
        let start = match seek(file, SeekFrom::Data(position)) {
            Ok(start) => start.min(size),
            // Only holes follow.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(size);
        dig_between(file, start, end, &mut buffer)?;
        position = end;
    }
    Ok(())
}

/// Looks at a part without holes.
fn dig_between(file: &File, start: u64, end: u64, buffer: &mut [u8]) -> io::Result<()> {
    // Where the zeros begin that lead up to the position.
    let mut zeros = start;
    let mut position = start;
    while position < end {
        let length = usize::try_from(end - position).map_or(BUFFER, |left| left.min(BUFFER));
        let part = &mut buffer[..length];
        file.read_exact_at(part, position)?;
        for page in part.chunks(PAGE) {
            let next = position + page.len() as u64;
            if *page != ZEROS[..page.len()] {
                punch(file, zeros, position)?;
                zeros = next;
            }
            position = next;
        }
    }
    punch(file, zeros, end)
}

const ZEROS: [u8; PAGE] = [0; PAGE];

fn punch(file: &File, start: u64, end: u64) -> io::Result<()> {
    if end - start < SHORTEST {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, flags, start, end - start)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// A file of these bytes, none of them a hole.
    fn full(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file.as_file().sync_all().unwrap();
        file
    }

    #[test]
    fn zeros_become_holes_and_all_else_stays_as_it_is() {
        let mut memory = vec![0; (16 << 20) + 100];
        let touched = [
            (0, 1),
            (5 << 20, 3),
            ((7 << 20) - 1, 2),
            // Zeros too short for a hole lie between these.
            (9 << 20, 5000),
            ((9 << 20) + 9000, 5000),
            ((16 << 20) + 99, 1),
        ];
        for (at, length) in touched {
            memory[at..at + length].fill(7);
        }
        let file = full(&memory);
        assert!(file.as_file().metadata().unwrap().blocks() * 512 >= 16 << 20);
        for _ in 0..2 {
            dig(file.path()).unwrap();
            assert!(
                fs::read(file.path()).unwrap() == memory,
                "it reads as something else"
            );
            let taken = file.as_file().metadata().unwrap().blocks() * 512;
            assert!((1..=256 << 10).contains(&taken), "{taken}");
        }
    }

    #[test]
    fn files_without_anything_to_dig_stay_as_they_are() {
        for memory in [vec![], vec![0; 10], vec![1; 300_000], vec![0; 32 << 10]] {
            let file = full(&memory);
            dig(file.path()).unwrap();
            assert!(fs::read(file.path()).unwrap() == memory);
        }
        let zeros = full(&vec![0; 4 << 20]);
        dig(zeros.path()).unwrap();
        let about = zeros.as_file().metadata().unwrap();
        assert_eq!((about.len(), about.blocks()), (4 << 20, 0));
    }

    #[test]
    fn nothing_but_a_plain_file_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link, pipe) = (
            folder.path().join("target"),
            folder.path().join("link"),
            folder.path().join("pipe"),
        );
        fs::write(&target, vec![0; 1 << 20]).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        for path in [
            link.as_path(),
            pipe.as_path(),
            folder.path(),
            &folder.path().join("none"),
        ] {
            dig(path).unwrap_err();
        }
        assert!(fs::metadata(&target).unwrap().blocks() * 512 >= 1 << 20);
    }
}
