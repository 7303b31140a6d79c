//! The data of a file on its way into the stream: all of it, or the stream says that it is not.
//!
//! A member's length stands before its data. Where a file then turns out shorter, or cannot be read, zeros fill the
//! member, so that the line that says so is found behind it; who unpacks gives the member no name before that.

use std::os::fd::BorrowedFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{SeekFrom, Stat, fstat, seek};
use rustix::io::{read, retry_on_intr};

use super::{PIECE, Packer, header};
use crate::attributes::Attributes;
use crate::error::ArchiveError;
use crate::header::{NAME, RECORD, kind};
use crate::sparse::SparseMap;

/// Most bytes that are read of a file whose size the kernel does not tell: they are kept until all of it is read.
const UNTOLD: usize = 32 << 20;

impl Packer<'_> {
    pub(super) fn file(&mut self, file: BorrowedFd<'_>, stat: &Stat) -> Result<(), ArchiveError> {
        if stat.st_nlink > 1 && self.linked(stat)? {
            return Ok(());
        }
        let attributes = self.attributes(file, stat);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // Only a file with fewer blocks than bytes can have holes.
        if size > 4096 && (stat.st_blocks as u64) < size / 512 {
            let map = SparseMap::of(file, size).map_err(|errno| self.fail(errno))?;
            self.rewind(file)?;
            if let Some(map) = map {
                return self.sparse_file(file, &attributes, &map);
            }
        }
        if size < PIECE as u64 / 2 && self.small_file(file, &attributes, size)? {
            return Ok(());
        }
        if size == 0 {
            return self.untold_file(file, &attributes);
        }
        self.head(kind::FILE, &attributes, size, b"", (0, 0), &[])?;
        self.data(file, &[(0, size)])?;
        self.pad(size)
    }

    /// Reads a file first and says then how long it is; `false` if it has become too long for that.
    fn small_file(
        &mut self,
        file: BorrowedFd<'_>,
        attributes: &Attributes,
        size: u64,
    ) -> Result<bool, ArchiveError> {
        let size = size as usize;
        // The header may need PAX records, which the piece has to hold as well.
        if self.piece.capacity() - self.piece.len() < 4 * RECORD + size {
            self.send()?;
        }
        if self.path.len() > NAME || self.options.archive {
            // Its records are of a length of their own: read aside.
            let mut data = Vec::with_capacity(size + RECORD);
            if !self.read_whole(file, &mut data, size)? {
                self.rewind(file)?;
                return Ok(false);
            }
            self.whole(attributes, &data)?;
            return Ok(true);
        }
        let start = self.piece.len();
        self.piece.resize(start + RECORD, 0);
        let mut piece = std::mem::take(&mut self.piece);
        let whole = self.read_whole(file, &mut piece, size);
        self.piece = piece;
        if !matches!(whole, Ok(true)) {
            self.piece.truncate(start);
            whole?;
            self.rewind(file)?;
            return Ok(false);
        }
        let read = (self.piece.len() - start - RECORD) as u64;
        let head = header(kind::FILE, &self.path, attributes, read, b"", (0, 0));
        head.encode(&mut self.piece[start..start + RECORD]);
        self.pad(read)?;
        Ok(true)
    }

    /// A file that is longer than its size says, which is none: the kernel's own tell no size.
    fn untold_file(&mut self, file: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), ArchiveError> {
        let mut data = Vec::new();
        loop {
            data.reserve(PIECE);
            if self.read_whole(file, &mut data, 0)? {
                return self.whole(attributes, &data);
            }
            if data.len() > UNTOLD {
                return Err(ArchiveError::Refused {
                    path: self.shown(),
                    why: "has no size, and is longer than 32 MiB",
                });
            }
        }
    }

    /// A member whose data is in memory.
    fn whole(&mut self, attributes: &Attributes, data: &[u8]) -> Result<(), ArchiveError> {
        let size = data.len() as u64;
        self.head(kind::FILE, attributes, size, b"", (0, 0), &[])?;
        self.put(data)?;
        self.pad(size)
    }

    /// Adds a file's data to `data` without growing it. `false` when there may be more than it has room for.
    fn read_whole(
        &self,
        file: BorrowedFd<'_>,
        data: &mut Vec<u8>,
        expected: usize,
    ) -> Result<bool, ArchiveError> {
        let start = data.len();
        loop {
            let read =
                retry_on_intr(|| read(file, spare_capacity(data))).map_err(|errno| self.fail(errno))?;
            // A regular file that gives less than there is room for is at its end, if that is where it should be.
            let room = data.capacity() - data.len();
            if room == 0 {
                return Ok(false);
            }
            if read == 0 || (expected > 0 && data.len() - start == expected) {
                return Ok(true);
            }
        }
    }

    fn sparse_file(
        &mut self,
        file: BorrowedFd<'_>,
        attributes: &Attributes,
        map: &SparseMap,
    ) -> Result<(), ArchiveError> {
        let size = self.sparse_head(attributes, map)?;
        self.data(file, &map.parts)?;
        self.pad(size)?;
        // What is cut off at a hole is missed by no read.
        let stat = fstat(file).map_err(|errno| self.fail(errno))?;
        match u64::try_from(stat.st_size) {
            Ok(size) if size >= map.size => Ok(()),
            _ => Err(self.shorter()),
        }
    }

    /// Sends these parts of a file. Where that fails, the member is filled with zeros.
    fn data(&mut self, file: BorrowedFd<'_>, parts: &[(u64, u64)]) -> Result<(), ArchiveError> {
        let mut left: u64 = parts.iter().map(|(_, length)| length).sum();
        let stored = left;
        for part in parts {
            match self.part(file, *part, &mut left) {
                Ok(()) => {}
                Err(error @ ArchiveError::Stream { .. }) => return Err(error),
                Err(error) => {
                    self.zeros(left)?;
                    self.pad(stored)?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Sends `length` bytes from `offset` on, and counts them off `left`.
    fn part(
        &mut self,
        file: BorrowedFd<'_>,
        (offset, length): (u64, u64),
        left: &mut u64,
    ) -> Result<(), ArchiveError> {
        seek(file, SeekFrom::Start(offset)).map_err(|errno| self.fail(errno))?;
        let mut wanted = length;
        while wanted > 0 {
            if self.piece.len() == self.piece.capacity() {
                self.send()?;
            }
            let start = self.piece.len();
            let read = retry_on_intr(|| read(file, spare_capacity(&mut self.piece)));
            let read = read.map_err(|errno| self.fail(errno))? as u64;
            if read == 0 {
                return Err(self.shorter());
            }
            let taken = read.min(wanted);
            self.piece.truncate(start + taken as usize);
            wanted -= taken;
            *left -= taken;
        }
        Ok(())
    }

    fn rewind(&self, file: BorrowedFd<'_>) -> Result<(), ArchiveError> {
        seek(file, SeekFrom::Start(0)).map_err(|errno| self.fail(errno))?;
        Ok(())
    }

    fn shorter(&self) -> ArchiveError {
        ArchiveError::Refused {
            path: self.shown(),
            why: "became shorter while it was read",
        }
    }
}
