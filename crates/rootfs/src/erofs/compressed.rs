//! Files whose chunks are packed by LZ4, and the index by which the kernel finds what in them.
//!
//! ```text
//!   a file     chunk 0 (64 KiB)      chunk 1 …        each packed for itself, or left as it is
//!   an index   H n n n n n n n …     P P P P P …      8 bytes for each 4 KiB of the file, behind the inode
//! ```
//!
//! `H` says where the packed chunk begins and the first `n` of how many blocks it is; each `P` where its 4 KiB lie. It is
//! the layout that the kernel calls `EROFS_INODE_COMPRESSED_FULL`, with big physical clusters. Packed data ends where its
//! last block does, with zeros before it: no LZ4 stream begins with one.

use super::format::{BLOCK, BLOCK_BYTES, CHUNK};

/// Bytes of the header before an index: `z_erofs_map_header`, and 8 that the kernel skips.
const HEADER: usize = 16;
/// Bytes of `z_erofs_lcluster_index`.
const INDEX: u64 = 8;
/// Most blocks of a packed chunk: one less than it has unpacked.
pub(crate) const MOST_PACKED: u16 = (CHUNK / BLOCK) as u16 - 1;

/// `h_advise`: packed chunks may have more than a block.
const BIG_PCLUSTER_1: u16 = 2;
const PLAIN: u16 = 0;
const HEAD: u16 = 1;
const NOT_HEAD: u16 = 2;
/// Marks the number of a packed chunk's blocks.
const BLOCK_COUNT: u16 = 1 << 11;

/// Packs chunks.
#[derive(Debug)]
pub(crate) struct Lz4 {
    packed: Box<[u8]>,
}

impl Default for Lz4 {
    fn default() -> Self {
        let most = lz4_flex::block::get_maximum_output_size(CHUNK);
        Self {
            packed: vec![0; most].into_boxed_slice(),
        }
    }
}

impl Lz4 {
    /// Packs a chunk in its place; gives the blocks that it has then. Where that saves none, the chunk stays as it is.
    pub(crate) fn pack(&mut self, chunk: &mut [u8]) -> Option<u8> {
        let length = lz4_flex::block::compress_into(chunk, &mut self.packed)
            .expect("the buffer holds what a chunk can at most come to");
        let blocks = length.div_ceil(BLOCK);
        if blocks >= chunk.len().div_ceil(BLOCK) {
            return None;
        }
        let (zeros, packed) = chunk[..blocks * BLOCK].split_at_mut(blocks * BLOCK - length);
        zeros.fill(0);
        packed.copy_from_slice(&self.packed[..length]);
        u8::try_from(blocks).ok()
    }
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    block: u32,
    /// Blocks that it takes.
    blocks: u8,
    packed: bool,
}

impl Extent {
    /// A chunk of `length` bytes from a block on, packed into so many blocks or as it is.
    pub(crate) fn new(block: u32, packed: Option<u8>, length: usize) -> Self {
        Self {
            block,
            blocks: packed.unwrap_or(length.div_ceil(BLOCK) as u8),
            packed: packed.is_some(),
        }
    }
}

/// Blocks that a file's chunks take.
pub(crate) fn blocks(extents: &[Extent]) -> u32 {
    extents.iter().map(|extent| u32::from(extent.blocks)).sum()
}

/// Bytes of the index of a file of `size` bytes, behind an inode that ends at a multiple of 8.
pub(crate) fn index_bytes(size: u64) -> u64 {
    HEADER as u64 + size.div_ceil(BLOCK_BYTES) * INDEX
}

/// Appends the index of a file of `size` bytes.
pub(crate) fn encode(extents: &[Extent], size: u64, out: &mut Vec<u8>) {
    let mut header = [0; HEADER];
    header[4..6].copy_from_slice(&BIG_PCLUSTER_1.to_le_bytes());
    out.extend(header);
    let mut left = size;
    for extent in extents {
        let length = left.min(CHUNK as u64);
        left -= length;
        if extent.packed {
            packed(*extent, length, out);
        } else {
            for number in 0..length.div_ceil(BLOCK_BYTES) as u32 {
                index(PLAIN, 0, (extent.block + number).to_le_bytes(), out);
            }
        }
    }
}

/// The index of a packed chunk of `length` bytes.
fn packed(extent: Extent, length: u64, out: &mut Vec<u8>) {
    let clusters = length.div_ceil(BLOCK_BYTES) as u16;
    // Only what is unpacked to its last byte is read: an extent that begins where the file ends says where that is.
    let end = (length % BLOCK_BYTES) as u16;
    let next = if end == 0 { clusters } else { clusters - 1 };
    index(HEAD, 0, extent.block.to_le_bytes(), out);
    for number in 1..next {
        let back = match number {
            1 => BLOCK_COUNT | u16::from(extent.blocks),
            _ => number,
        };
        let mut distances = [0; 4];
        distances[..2].copy_from_slice(&back.to_le_bytes());
        distances[2..].copy_from_slice(&(next - number).to_le_bytes());
        index(NOT_HEAD, 0, distances, out);
    }
    if end != 0 {
        index(PLAIN, end, [0; 4], out);
    }
}

fn index(kind: u16, offset: u16, union: [u8; 4], out: &mut Vec<u8>) {
    out.extend(kind.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out.extend(union);
}
