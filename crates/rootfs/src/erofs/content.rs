//! Where a file's bytes go: whole blocks to the output as they come, the last partial block kept for its inode.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use super::builder::Compression;
use super::compressed::{Extent, Lz4};
use super::format::{BLOCK, BLOCK_BYTES, CHUNK, HOLE};

/// Big enough that system calls do not count, small enough to stay in the cache.
const BUFFER: usize = 16 * CHUNK;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Where the bytes of a file or of a symbolic link's target lie.
#[derive(Debug)]
pub(crate) enum Content {
    /// Whole blocks from `block` on, then `tail`, which is to follow the inode. Without a tail the last block is
    /// padded.
    Flat { block: u32, tail: Box<[u8]> },
    /// A file with holes, in runs of chunks; its last block is padded.
    Chunked(Box<[Run]>),
    /// Chunk by chunk, some of them packed; the last block of one that is not is padded.
    Compressed(Box<[Extent]>),
}

impl Content {
    /// Bytes that the map of a file takes in memory. Tails have a bound of their own.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Flat { .. } => 0,
            Self::Chunked(runs) => size_of_val(&**runs),
            Self::Compressed(extents) => size_of_val(&**extents),
        }
    }
}

/// Neighbouring chunks that are stored one after the other, or are all holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) chunks: u32,
    /// First block, or [`HOLE`].
    pub(crate) block: u32,
}

impl Run {
    /// The block addresses of its chunks, as a chunk map lists them.
    pub(crate) fn blocks(self) -> impl Iterator<Item = u32> {
        const STEP: u32 = (CHUNK / BLOCK) as u32;
        (0..self.chunks).map(move |chunk| match self.block {
            HOLE => HOLE,
            block => block + chunk * STEP,
        })
    }
}

/// Why data could not be stored.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// It ended too early.
    Short,
    /// It could not be read.
    Read(io::Error),
    /// It could not be written.
    Write(io::Error),
    /// The image has more blocks than 32 bits can count.
    Full,
}

/// Appends to the image in large writes.
#[derive(Debug)]
pub(crate) struct BlockWriter<'a> {
    out: &'a File,
    buffer: Box<[u8]>,
    filled: usize,
    /// Offset in the file of the buffer's first byte; always on a block.
    start: u64,
    lz4: Option<Lz4>,
}

impl<'a> BlockWriter<'a> {
    /// Empties `out` and leaves room for the superblock.
    pub(crate) fn new(out: &'a File, compression: Compression) -> io::Result<Self> {
        out.set_len(0)?;
        Ok(Self {
            out,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            filled: 0,
            start: BLOCK_BYTES,
            lz4: match compression {
                Compression::None => None,
                Compression::Lz4 => Some(Lz4::default()),
            },
        })
    }

    /// Offset of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.start + self.filled as u64
    }

    /// Number of the next block; the position must lie on one.
    pub(crate) fn block(&self) -> Result<u32, StoreError> {
        debug_assert_eq!(self.position() % BLOCK_BYTES, 0);
        u32::try_from(self.position() / BLOCK_BYTES)
            .ok()
            .filter(|block| *block != HOLE)
            .ok_or(StoreError::Full)
    }

    /// Stores `size` bytes of `data`. Chunks of zeros become holes, unless some before them are packed: no file can
    /// have both. `keep_tail` leaves the last partial block of a file with neither to the caller.
    pub(crate) fn store(
        &mut self,
        data: &mut impl Read,
        size: u64,
        keep_tail: bool,
    ) -> Result<Content, StoreError> {
        let first = self.block()?;
        let mut runs: Vec<Run> = Vec::new();
        let mut extents: Vec<Extent> = Vec::new();
        let (mut holes, mut packed) = (false, false);
        let mut left = size;
        while left > 0 {
            let length = left.min(CHUNK as u64) as usize;
            if self.filled + CHUNK > BUFFER {
                self.flush().map_err(StoreError::Write)?;
            }
            let block = self.block()?;
            let chunk = &mut self.buffer[self.filled..self.filled + length];
            data.read_exact(chunk).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => StoreError::Short,
                _ => StoreError::Read(error),
            })?;
            left -= length as u64;
            let hole = !packed && *chunk == ZEROS;
            holes |= hole;
            if hole {
                append(&mut runs, HOLE);
                continue;
            }
            let packed_blocks = match &mut self.lz4 {
                Some(lz4) if !holes => lz4.pack(chunk),
                _ => None,
            };
            packed |= packed_blocks.is_some();
            self.filled += packed_blocks.map_or(length, |blocks| usize::from(blocks) * BLOCK);
            if self.lz4.is_some() && !holes {
                extents.push(Extent::new(block, packed_blocks, length));
            }
            append(&mut runs, block);
        }
        if packed {
            self.pad().map_err(StoreError::Write)?;
            return Ok(Content::Compressed(extents.into()));
        }
        if holes {
            self.pad().map_err(StoreError::Write)?;
            return Ok(Content::Chunked(runs.into()));
        }
        let tail = if keep_tail {
            (size % BLOCK_BYTES) as usize
        } else {
            0
        };
        let kept = Box::from(&self.buffer[self.filled - tail..self.filled]);
        self.filled -= tail;
        self.pad().map_err(StoreError::Write)?;
        Ok(Content::Flat {
            block: first,
            tail: kept,
        })
    }

    /// Appends bytes wherever the position is.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.filled == BUFFER {
                self.flush()?;
            }
            let length = bytes.len().min(BUFFER - self.filled);
            let (now, later) = bytes.split_at(length);
            self.buffer[self.filled..self.filled + length].copy_from_slice(now);
            self.filled += length;
            bytes = later;
        }
        Ok(())
    }

    /// Appends zeros up to the offset `position`, which must not lie behind.
    pub(crate) fn zeros_to(&mut self, position: u64) -> io::Result<()> {
        while self.position() < position {
            let length = (position - self.position()).min(CHUNK as u64) as usize;
            self.write(&ZEROS[..length])?;
        }
        Ok(())
    }

    /// Fills the block that has been begun.
    pub(crate) fn pad(&mut self) -> io::Result<()> {
        self.zeros_to(self.position().next_multiple_of(BLOCK_BYTES))
    }

    /// Hands everything to the file; the position must lie on a block, or the image be complete.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.write_all_at(&self.buffer[..self.filled], self.start)?;
        self.start += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

/// Adds a chunk to the last run where it continues it.
fn append(runs: &mut Vec<Run>, block: u32) {
    const STEP: u32 = (CHUNK / BLOCK) as u32;
    if let Some(last) = runs.last_mut() {
        let continues = match last.block {
            HOLE => block == HOLE,
            first => block != HOLE && first + last.chunks * STEP == block,
        };
        if continues {
            last.chunks += 1;
            return;
        }
    }
    runs.push(Run { chunks: 1, block });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maps_of_files_with_holes_and_of_packed_ones_count_as_memory() {
        let run = Run { chunks: 1, block: 7 };
        assert_eq!(Content::Chunked([run; 1_000].into()).cost(), 8_000);
        let extent = Extent::new(1, Some(1), CHUNK);
        assert_eq!(Content::Compressed([extent; 1_000].into()).cost(), 8_000);
    }
}
