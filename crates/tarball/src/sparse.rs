//! Files with holes in tar archives: the four ways in which GNU tar writes them, and the reader that fills the holes.
//!
//! Old GNU format keeps the map in the header and in blocks after it; PAX 0.0 and 0.1 in records; PAX 1.0 before the
//! data (GNU tar manual, "Storing Sparse Files").

use std::io::{self, Read};

use super::pax::{Records, decimal};

/// More pieces than this are not a file but an attack.
const PIECES: usize = 1 << 20;
/// Maps of PAX 1.0 are padded to this.
const RECORD: usize = 512;

/// The pieces of a file that are stored, in order, and its full length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseMap {
    pieces: Vec<(u64, u64)>,
    pub(crate) size: u64,
}

/// A map that is none.
#[derive(Debug)]
pub(crate) struct BadMap;

impl SparseMap {
    /// A map for a file of that length, to which pieces are added.
    pub(crate) fn new(size: u64) -> Self {
        Self {
            pieces: Vec::new(),
            size,
        }
    }

    /// Adds a piece; pieces come in order, do not overlap and end within the file.
    pub(crate) fn push(&mut self, offset: u64, length: u64) -> Result<(), BadMap> {
        let end = self.pieces.last().map_or(0, |(offset, length)| offset + length);
        let within = offset.checked_add(length).is_some_and(|end| end <= self.size);
        if offset < end || !within || self.pieces.len() == PIECES {
            return Err(BadMap);
        }
        if length > 0 {
            self.pieces.push((offset, length));
        }
        Ok(())
    }

    /// Bytes that the archive holds.
    pub(crate) fn stored(&self) -> u64 {
        // Pieces neither overlap nor leave the file, so this cannot overflow.
        self.pieces.iter().map(|(_, length)| length).sum()
    }

    /// A map of format 0.0 or 0.1, if there is one.
    pub(crate) fn from_records(records: &Records) -> Result<Option<Self>, BadMap> {
        let size = records.number("GNU.sparse.size").map_err(|_| BadMap)?;
        let Some(size) = size else { return Ok(None) };
        let mut map = Self::new(size);
        if let Some(list) = records.get("GNU.sparse.map") {
            let numbers: Option<Vec<u64>> = list.split(|byte| *byte == b',').map(number).collect();
            let numbers = numbers.ok_or(BadMap)?;
            let (pairs, []) = numbers.as_chunks::<2>() else {
                return Err(BadMap);
            };
            for [offset, length] in pairs {
                map.push(*offset, *length)?;
            }
            return Ok(Some(map));
        }
        let mut offset = None;
        for (key, value) in records.iter() {
            if key == b"GNU.sparse.offset" {
                offset = Some(number(value).ok_or(BadMap)?);
            } else if key == b"GNU.sparse.numbytes" {
                map.push(offset.take().ok_or(BadMap)?, number(value).ok_or(BadMap)?)?;
            }
        }
        Ok(Some(map))
    }

    /// The map that starts the data in format 1.0: lines with a count and that many pairs. Gives the bytes read, too.
    pub(crate) fn from_data(size: u64, data: &mut impl Read) -> io::Result<Result<(Self, u64), BadMap>> {
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
                let Some(value) = number(&line) else {
                    return Ok(Err(BadMap));
                };
                line.clear();
                match (left, offset.take()) {
                    (None, _) => left = Some(value),
                    (Some(_), None) => offset = Some(value),
                    (Some(pairs), Some(offset)) => {
                        left = Some(pairs - 1);
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

    /// The whole file, with zeros where nothing is stored.
    pub(crate) fn expand<R: Read>(self, data: R) -> Expand<R> {
        Expand {
            map: self,
            next: 0,
            position: 0,
            data,
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() { None } else { decimal(text) }
}

/// Reads a sparse file as if it were whole.
#[derive(Debug)]
pub struct Expand<R> {
    map: SparseMap,
    next: usize,
    position: u64,
    data: R,
}

impl<R: Read> Read for Expand<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (offset, length) = self
            .map
            .pieces
            .get(self.next)
            .copied()
            .unwrap_or((self.map.size, 0));
        let (end, hole) = if self.position < offset {
            (offset, true)
        } else {
            (offset + length, false)
        };
        let room = usize::try_from(end - self.position).map_or(buffer.len(), |left| left.min(buffer.len()));
        let buffer = &mut buffer[..room];
        let read = if hole {
            buffer.fill(0);
            room
        } else {
            self.data.read(buffer)?
        };
        self.position += read as u64;
        if !hole && self.position == end {
            self.next += 1;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_read_as_zeros_before_between_and_after_the_pieces() {
        let mut map = SparseMap::new(12);
        map.push(2, 3).unwrap();
        map.push(7, 1).unwrap();
        let mut whole = Vec::new();
        map.expand(&b"abcd"[..]).read_to_end(&mut whole).unwrap();
        assert_eq!(whole, b"\0\0abc\0\0d\0\0\0\0");
    }

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
    fn a_map_before_the_data_is_read_to_its_last_record() {
        let mut data = b"2\n0\n1\n600\n5\n".to_vec();
        data.resize(512, 0);
        data.extend(b"Xhello");
        let mut rest = data.as_slice();
        let (map, read) = SparseMap::from_data(1000, &mut rest).unwrap().unwrap();
        assert_eq!(
            (map.pieces, read, rest),
            (vec![(0, 1), (600, 5)], 512, &b"Xhello"[..])
        );
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
