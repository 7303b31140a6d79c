//! Packed data, unpacked in pieces that are thrown away: how much it is, and how it begins. Takes the memory of a piece,
//! whatever the data claims or holds.

use flate2::{Decompress, FlushDecompress, Status};

use crate::digest::Digest;

/// What is unpacked at once.
const PIECE: usize = 64 << 10;
/// How much of its beginning is kept: the two sizes that a delta begins with are in it.
const BEGINNING: usize = 20;

/// One zlib stream after the other.
pub(crate) struct Inflate {
    stream: Decompress,
    piece: Vec<u8>,
    size: u64,
    beginning: Vec<u8>,
    ended: bool,
}

impl Inflate {
    pub(crate) fn new() -> Self {
        Self {
            stream: Decompress::new(true),
            piece: vec![0; PIECE],
            size: 0,
            beginning: Vec::new(),
            ended: false,
        }
    }

    /// Begins a stream that has to come to this many bytes.
    pub(crate) fn begin(&mut self, size: u64) {
        self.stream.reset(true);
        self.beginning.clear();
        self.size = size;
        self.ended = false;
    }

    /// Reads on, until the bytes or the stream end. Gives how many bytes were read.
    ///
    /// # Errors
    /// It is no such stream, or is longer or shorter than it has to be.
    pub(crate) fn take(&mut self, bytes: &[u8], digest: Option<&mut Digest>) -> Result<usize, &'static str> {
        let (mut taken, mut digest) = (0, digest);
        while !self.ended {
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(&bytes[taken..], &mut self.piece, FlushDecompress::None)
                .map_err(|_| "cannot be unpacked")?;
            let read = moved(read, self.stream.total_in());
            let written = moved(written, self.stream.total_out());
            let piece = &self.piece[..written];
            if let Some(digest) = &mut digest {
                digest.update(piece);
            }
            let room = BEGINNING - self.beginning.len();
            self.beginning.extend_from_slice(&piece[..room.min(written)]);
            taken += read;
            if self.stream.total_out() > self.size {
                return Err("is longer than it says");
            }
            match status {
                Status::StreamEnd if self.stream.total_out() < self.size => {
                    return Err("is shorter than it says");
                }
                Status::StreamEnd => self.ended = true,
                // All was read, and there is no more to come of it.
                Status::Ok | Status::BufError if taken == bytes.len() && written < self.piece.len() => break,
                Status::Ok | Status::BufError if read == 0 && written == 0 => {
                    return Err("cannot be unpacked");
                }
                Status::Ok | Status::BufError => {}
            }
        }
        Ok(taken)
    }

    /// Whether the stream is at its end.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// What a delta, of which at least the beginning was read, is made from and comes to, in bytes.
    pub(crate) fn delta(&self) -> Option<(u64, u64)> {
        let mut bytes = self.beginning.iter();
        let mut size = || {
            let mut size = 0_u64;
            for shift in (0..63).step_by(7) {
                let byte = *bytes.next()?;
                size |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    return Some(size);
                }
            }
            None
        };
        Some((size()?, size()?))
    }
}

fn moved(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(0)
}
