//! Files with holes: finding the parts that hold data, and their map in a stream.
//!
//! Written in GNU's PAX format 1.0 (GNU tar manual, "Storing Sparse Files"), where the map stands before the data;
//! read in that, in 0.1, and in the old GNU format.

use std::io::{self, BufRead};
use std::os::fd::BorrowedFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::header::RECORD;
use crate::pax::decimal;

/// More parts than this are not a file but an attack.
const PARTS: usize = 1 << 18;

/// The parts of a file that are stored, in order, and its full length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SparseMap {
    pub(crate) parts: Vec<(u64, u64)>,
    pub(crate) size: u64,
}

/// A map that is none.
#[derive(Debug)]
pub(crate) struct BadMap;

impl SparseMap {
    pub(crate) fn new(size: u64) -> Self {
        Self {
            parts: Vec::new(),
            size,
        }
    }

    /// Adds a part; parts come in order, do not overlap and end within the file.
    pub(crate) fn push(&mut self, offset: u64, length: u64) -> Result<(), BadMap> {
        let end = self.parts.last().map_or(0, |(offset, length)| offset + length);
        let within = offset.checked_add(length).is_some_and(|end| end <= self.size);
        if offset < end || !within || (length > 0 && self.parts.len() == PARTS) {
            return Err(BadMap);
        }
        if length > 0 {
            self.parts.push((offset, length));
        }
        Ok(())
    }

    /// Bytes that the stream holds.
    pub(crate) fn stored(&self) -> u64 {
        // Parts neither overlap nor leave the file, so this cannot overflow.
        self.parts.iter().map(|(_, length)| length).sum()
    }

    /// The map of a file, by what its file system knows; `None` if it is of one part, or of too many.
    pub(crate) fn of(file: BorrowedFd<'_>, size: u64) -> Result<Option<Self>, Errno> {
        let mut map = Self::new(size);
        let mut position = 0;
        while position < size {
            let start = match seek(file, SeekFrom::Data(position)) {
                Ok(start) => start,
                // Nothing but a hole from here on.
                Err(Errno::NXIO) => break,
                // A file system that does not tell.
                Err(Errno::INVAL) => return Ok(None),
                Err(error) => return Err(error),
            };
            let end = match seek(file, SeekFrom::Hole(start)) {
                Ok(end) => end.min(size),
                // It shrank meanwhile.
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error),
            };
            if start >= end {
                break;
            }
            if map.push(start, end - start).is_err() {
                return Ok(None);
            }
            position = end;
        }
        let whole = map.parts == [(0, size)];
        Ok((!whole).then_some(map))
    }

    /// The map as format 1.0 puts it before the data.
    pub(crate) fn to_data(&self) -> Vec<u8> {
        // GNU tar learns the file's length from a last part without data.
        let end = (self.size, 0);
        let mut data = format!("{}\n", self.parts.len() + 1).into_bytes();
        for (offset, length) in self.parts.iter().chain([&end]) {
            data.extend_from_slice(format!("{offset}\n{length}\n").as_bytes());
        }
        data.resize(data.len().next_multiple_of(RECORD), 0);
        data
    }

    /// The map that starts the data in format 1.0. Gives the bytes read, too.
    pub(crate) fn from_data(size: u64, data: &mut impl BufRead) -> io::Result<Result<(Self, u64), BadMap>> {
        let mut record = [0; RECORD];
        let mut read = 0_u64;
        let mut line = Vec::new();
        let mut map = Self::new(size);
        let mut left: Option<u64> = None;
        let mut offset = None;
        loop {
            data.read_exact(&mut record)?;
            read += RECORD as u64;
            for byte in record {
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > 20 {
                        return Ok(Err(BadMap));
                    }
                    continue;
                }
                let Some(value) = decimal(&line) else {
                    return Ok(Err(BadMap));
                };
                line.clear();
                match (left, offset.take()) {
                    (None, _) => left = Some(value),
                    (Some(_), None) => offset = Some(value),
                    (Some(parts), Some(offset)) => {
                        left = Some(parts - 1);
                        if map.push(offset, value).is_err() {
                            return Ok(Err(BadMap));
                        }
                    }
                }
                if left == Some(0) {
                    return Ok(Ok((map, read)));
                }
            }
        }
    }

    /// The map of format 0.1: numbers with commas between them.
    pub(crate) fn from_list(size: u64, list: &[u8]) -> Result<Self, BadMap> {
        let mut map = Self::new(size);
        let numbers: Option<Vec<u64>> = list.split(|byte| *byte == b',').map(decimal).collect();
        let numbers = numbers.ok_or(BadMap)?;
        let (pairs, []) = numbers.as_chunks::<2>() else {
            return Err(BadMap);
        };
        for [offset, length] in pairs {
            map.push(*offset, *length)?;
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_overlap_or_leave_the_file_are_refused() {
        let mut map = SparseMap::new(10);
        map.push(4, 2).unwrap();
        assert!(map.push(5, 1).is_err());
        assert!(map.push(9, 2).is_err());
        assert!(map.push(u64::MAX, 2).is_err());
        map.push(10, 0).unwrap();
    }

    #[test]
    fn a_map_comes_back_from_its_data_and_bad_ones_are_refused() {
        let mut map = SparseMap::new(1 << 40);
        for part in 0..200 {
            map.push(part << 20, 4096).unwrap();
        }
        let data = map.to_data();
        let (read, length) = SparseMap::from_data(1 << 40, &mut data.as_slice())
            .unwrap()
            .unwrap();
        assert_eq!((read, length as usize), (map, data.len()));
        for bad in ["x\n", "-1\n", "1\n5\n999999\n", "999999999999999999999\n", "\n"] {
            let mut data = bad.as_bytes().to_vec();
            data.resize(512, 0);
            assert!(
                SparseMap::from_data(1000, &mut data.as_slice()).unwrap().is_err(),
                "{bad}"
            );
        }
    }
}
