//! Copies a file with holes into an empty one, in the cheapest way that the file systems allow.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek};
use rustix::io::Errno;

const BUFFER: usize = 256 * 1024;

/// Makes `to`, which is empty, equal to `from`: by sharing its blocks, or else by copying what is not a hole.
pub(crate) fn clone_or_copy(from: &File, to: &File) -> io::Result<()> {
    match ioctl_ficlone(to, from) {
        Ok(()) => Ok(()),
        // File systems that cannot share blocks say so in many ways; what is really wrong shows in the copy.
        Err(_) => copy(from, to),
    }
}

/// Copies what is not a hole.
fn copy(from: &File, to: &File) -> io::Result<()> {
    let size = from.metadata()?.len();
    to.set_len(size)?;
    let mut position = 0;
    while position < size {
        let start = match seek(from, SeekFrom::Data(position)) {
            Ok(start) => start.min(size),
            // Only holes follow.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(from, SeekFrom::Hole(start))?.min(size);
        copy_part(from, to, start, end)?;
        position = end;
    }
    Ok(())
}

fn copy_part(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let length = usize::try_from(end - read_at).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), length) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => {
                return copy_through_memory(from, to, read_at, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// For file systems between which the kernel does not copy.
fn copy_through_memory(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut position = start;
    while position < end {
        let length = usize::try_from(end - position).map_or(BUFFER, |left| left.min(BUFFER));
        let part = &mut buffer[..length];
        from.read_exact_at(part, position)?;
        to.write_all_at(part, position)?;
        position += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    type Way<'a> = &'a dyn Fn(&File, &File) -> io::Result<()>;

    /// 8 MiB with data at the start, in the middle and at an odd end.
    fn sparse() -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"start", 0).unwrap();
        file.write_all_at(&[3; 300_000], 4 << 20).unwrap();
        file.write_all_at(b"end", (8 << 20) - 1).unwrap();
        file.sync_all().unwrap();
        file
    }

    fn bytes(file: &File) -> Vec<u8> {
        let mut all = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut all, 0).unwrap();
        all
    }

    #[test]
    fn every_way_of_copying_gives_the_same_bytes_and_keeps_holes() {
        let from = sparse();
        let through_memory = |from: &File, to: &File| {
            to.set_len(from.metadata()?.len())?;
            for (start, end) in [
                (0, 4096),
                (4 << 20, (4 << 20) + 300_000),
                ((8 << 20) - 1, (8 << 20) + 2),
            ] {
                copy_through_memory(from, to, start, end)?;
            }
            Ok(())
        };
        let ways: [Way<'_>; 3] = [&clone_or_copy, &copy, &through_memory];
        for way in ways {
            let to = tempfile::tempfile().unwrap();
            way(&from, &to).unwrap();
            assert_eq!(bytes(&to), bytes(&from));
            assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
        }
    }

    #[test]
    fn a_file_of_holes_only_is_copied() {
        let from = tempfile::tempfile().unwrap();
        from.set_len(1 << 30).unwrap();
        let to = tempfile::tempfile().unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 1 << 30);
        assert_eq!(to.metadata().unwrap().blocks(), 0);
    }
}
