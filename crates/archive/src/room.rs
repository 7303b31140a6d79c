//! How much a copy may create: no more apparent bytes than the file system has room for when it begins.
//!
//! Data that is written finds the end of a disk by itself. A hole does not: a header of some bytes claims a petabyte,
//! and whatever reads the file later (a backup, an upload, another copy) reads all of it.

use std::os::fd::BorrowedFd;

use rustix::fs::fstatvfs;

use crate::error::ArchiveError;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Room {
    left: u64,
    /// Whether the file system says how large it is. Those that do not are taken data, but no holes.
    known: bool,
}

impl Room {
    /// What the file system of a folder has.
    pub(crate) fn of(folder: BorrowedFd<'_>, path: &[u8]) -> Result<Self, ArchiveError> {
        let stat = fstatvfs(folder).map_err(ArchiveError::file("write to", path))?;
        Ok(Self {
            left: stat.f_bavail.saturating_mul(stat.f_frsize),
            known: stat.f_blocks > 0,
        })
    }

    /// Takes a file of this size, of which the stream holds `stored` bytes.
    pub(crate) fn take(&mut self, path: &[u8], size: u64, stored: u64) -> Result<(), ArchiveError> {
        let (wanted, left) = match self.known {
            true => (size, self.left),
            false => (size.saturating_sub(stored), 0),
        };
        match left.checked_sub(wanted) {
            Some(rest) => {
                self.left = rest;
                Ok(())
            }
            None => Err(ArchiveError::no_room(path, size, left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_add_up_and_holes_count_as_what_they_claim() {
        let mut room = Room {
            left: 100,
            known: true,
        };
        room.take(b"a", 60, 1).unwrap();
        let error = room.take(b"b", 41, 41).unwrap_err();
        assert_eq!(
            error.line(),
            "no space left for `b`: it would be of 41 bytes, and there is room for 40 more"
        );
        room.take(b"c", 40, 0).unwrap();
        assert!(room.take(b"d", u64::MAX, 0).is_err());
    }

    #[test]
    fn a_file_system_that_does_not_say_how_large_it_is_takes_data_and_no_holes() {
        let mut room = Room {
            left: 0,
            known: false,
        };
        room.take(b"a", 1 << 30, 1 << 30).unwrap();
        assert!(room.take(b"b", 1 << 30, 10).is_err());
    }
}
