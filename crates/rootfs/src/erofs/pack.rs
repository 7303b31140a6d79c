//! Finds a place in the metadata area for each inode with what follows it.
//!
//! An inode with an inline tail must lie within one block, since the kernel refuses a tail that crosses one. So this is
//! bin packing; a few blocks stay open, and the fullest that still has room is taken. Neighbours stay close.

use super::format::{BLOCK, BLOCK_BYTES, SLOT};

/// Blocks with room that are looked at.
const OPEN: usize = 24;

/// Hands out places.
#[derive(Debug)]
pub(crate) struct Packer {
    blocks: u64,
    /// Number and used bytes of each block with room.
    open: Vec<(u64, usize)>,
}

impl Packer {
    /// The first slots stay unused: tools take inode number 0 for a deleted file.
    pub(crate) fn new() -> Self {
        Self {
            blocks: 1,
            open: vec![(0, 2 * SLOT as usize)],
        }
    }

    /// Offset in the metadata area for that many bytes.
    pub(crate) fn place(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.next_multiple_of(SLOT);
        if bytes > BLOCK_BYTES {
            let offset = self.blocks * BLOCK_BYTES;
            self.blocks += bytes.div_ceil(BLOCK_BYTES);
            let used = (bytes % BLOCK_BYTES) as usize;
            if used > 0 {
                self.keep(self.blocks - 1, used);
            }
            return offset;
        }
        let bytes = bytes as usize;
        let fullest = (0..self.open.len())
            .filter(|index| self.open[*index].1 + bytes <= BLOCK)
            .max_by_key(|index| self.open[*index].1);
        if let Some(index) = fullest {
            let (block, used) = &mut self.open[index];
            let offset = *block * BLOCK_BYTES + *used as u64;
            *used += bytes;
            if *used == BLOCK {
                self.open.swap_remove(index);
            }
            return offset;
        }
        let block = self.blocks;
        self.blocks += 1;
        self.keep(block, bytes);
        block * BLOCK_BYTES
    }

    /// Blocks handed out so far.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    fn keep(&mut self, block: u64, used: usize) {
        if used == BLOCK {
            return;
        }
        if self.open.len() == OPEN {
            let fullest = (0..OPEN)
                .max_by_key(|index| self.open[*index].1)
                .expect("OPEN is not 0");
            if self.open[fullest].1 < used {
                return;
            }
            self.open.swap_remove(fullest);
        }
        self.open.push((block, used));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_never_overlap_and_small_ones_never_cross_a_block(sizes in prop::collection::vec(1_u64..9000, 1..300)) {
            let mut packer = Packer::new();
            let mut places: Vec<_> = sizes.iter().map(|size| (packer.place(*size), *size)).collect();
            places.sort_unstable();
            let mut end = 2 * SLOT;
            for (offset, size) in places {
                prop_assert!(offset >= end && offset % SLOT == 0);
                prop_assert!(size > BLOCK_BYTES || offset / BLOCK_BYTES == (offset + size - 1) / BLOCK_BYTES);
                end = offset + size;
            }
            prop_assert!(end <= packer.blocks() * BLOCK_BYTES);
        }
    }
}
