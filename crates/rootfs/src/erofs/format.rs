//! The bytes of EROFS: superblock, inode, checksum. Offsets follow Linux `fs/erofs/erofs_fs.h`.

use super::compressed::MOST_PACKED;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 4096;
/// The same for positions.
pub(crate) const BLOCK_BYTES: u64 = BLOCK as u64;
/// Inode numbers count slots of this size from the start of the metadata area.
pub(crate) const SLOT: u64 = 32;
/// Bytes of an extended inode.
pub(crate) const INODE: usize = 64;
/// Bytes of a file that one entry of a chunk map stands for.
pub(crate) const CHUNK: usize = BLOCK << CHUNK_BITS;
const CHUNK_BITS: u32 = 4;
/// Block address of a hole in a chunk map.
pub(crate) const HOLE: u32 = u32::MAX;

const SUPER_OFFSET: usize = 1024;
const MAGIC: u32 = 0xE0F5_E1E2;
const COMPAT_CHECKSUM: u32 = 0x1;
const COMPAT_MTIME: u32 = 0x2;
const INCOMPAT_CHUNKED: u32 = 0x4;
/// Packed data ends where its last block does; it may have several blocks, and its settings follow the superblock.
const INCOMPAT_COMPRESSED: u32 = 0x1 | 0x2;
const SUPER_BYTES: usize = 128;
/// `available_compr_algs`: LZ4.
const LZ4: u16 = 1;
/// How far back LZ4 refers at most.
const LZ4_DISTANCE: u16 = u16::MAX;

/// File type bits of `st_mode`.
pub(crate) mod mode {
    pub(crate) const FIFO: u16 = 0o010_000;
    pub(crate) const CHARACTER: u16 = 0o020_000;
    pub(crate) const DIRECTORY: u16 = 0o040_000;
    pub(crate) const BLOCK: u16 = 0o060_000;
    pub(crate) const FILE: u16 = 0o100_000;
    pub(crate) const SYMLINK: u16 = 0o120_000;
    pub(crate) const SOCKET: u16 = 0o140_000;
    pub(crate) const TYPE: u16 = 0o170_000;
}

/// How an inode's data is laid out (`i_format`, bits 1 to 3) with what its union holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// All of it in whole blocks from this one on; also for what has no data.
    Plain { block: u32 },
    /// Whole blocks from this one on, the rest behind the inode.
    Inline { block: u32 },
    /// A map of block addresses behind the inode.
    Chunked,
    /// An index behind the inode of the so many blocks that packed data takes.
    Compressed { blocks: u32 },
    /// A device number.
    Device { number: u32 },
}

/// An inode as it is written.
#[derive(Debug)]
pub(crate) struct DiskInode {
    pub(crate) layout: Layout,
    pub(crate) xattr_bytes: usize,
    pub(crate) mode: u16,
    pub(crate) size: u64,
    pub(crate) number: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
    pub(crate) links: u32,
}

impl DiskInode {
    /// The 64 bytes of `erofs_inode_extended`.
    pub(crate) fn encode(&self) -> [u8; INODE] {
        let (kind, union) = match self.layout {
            Layout::Plain { block } => (0_u16, block),
            Layout::Inline { block } => (2, block),
            Layout::Chunked => (4, CHUNK_BITS),
            Layout::Compressed { blocks } => (1, blocks),
            Layout::Device { number } => (0, number),
        };
        // Attributes are counted in words after their 12 bytes of header, which count as one.
        let xattr_count = match self.xattr_bytes {
            0 => 0,
            bytes => u16::try_from(1 + (bytes - 12) / 4).expect("xattr::encode bounds the size"),
        };
        let mut out = Fields([0; INODE]);
        out.u16(0, 1 | kind << 1);
        out.u16(2, xattr_count);
        out.u16(4, self.mode);
        out.u64(8, self.size);
        out.u32(16, union);
        out.u32(20, self.number);
        out.u32(24, self.uid);
        out.u32(28, self.gid);
        out.u64(32, self.seconds.cast_unsigned());
        out.u32(40, self.nanoseconds);
        out.u32(44, self.links);
        out.0
    }
}

/// What the superblock says about the image.
#[derive(Debug)]
pub(crate) struct Superblock {
    pub(crate) root: u16,
    pub(crate) inodes: u64,
    pub(crate) blocks: u32,
    pub(crate) metadata_block: u32,
    pub(crate) xattr_block: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) chunked: bool,
    pub(crate) compressed: bool,
}

impl Superblock {
    /// Block 0 with the superblock in its place and the checksum over all that follows.
    pub(crate) fn encode(&self) -> [u8; BLOCK] {
        let mut out = Fields([0; BLOCK]);
        let at = |offset| SUPER_OFFSET + offset;
        out.u32(at(0), MAGIC);
        out.u32(at(8), COMPAT_CHECKSUM | COMPAT_MTIME);
        out.0[at(12)] = BLOCK.trailing_zeros() as u8;
        out.u16(at(14), self.root);
        out.u64(at(16), self.inodes);
        out.u32(at(36), self.blocks);
        out.u32(at(40), self.metadata_block);
        out.u32(at(44), self.xattr_block);
        out.0[at(48)..at(64)].copy_from_slice(&self.uuid);
        let chunked = if self.chunked { INCOMPAT_CHUNKED } else { 0 };
        let compressed = if self.compressed { INCOMPAT_COMPRESSED } else { 0 };
        out.u32(at(80), chunked | compressed);
        if self.compressed {
            out.u16(at(84), LZ4);
            // `z_erofs_lz4_cfgs`, after its length.
            out.u16(at(SUPER_BYTES), 14);
            out.u16(at(SUPER_BYTES + 2), LZ4_DISTANCE);
            out.u16(at(SUPER_BYTES + 4), MOST_PACKED);
        }
        let sum = crc32c(&out.0[SUPER_OFFSET..]);
        out.u32(at(4), sum);
        out.0
    }
}

/// Little-endian fields at fixed offsets.
struct Fields<const N: usize>([u8; N]);

impl<const N: usize> Fields<N> {
    fn u16(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    fn u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    fn u64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// CRC-32C as the kernel's `crc32c(~0, …)`: not inverted at the end. Only 3 KiB are ever summed.
fn crc32c(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    data.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    })
}

/// A device number as the kernel's `new_encode_dev` packs it.
pub(crate) fn device_number(major: u32, minor: u32) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20).then_some((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one_without_the_final_inversion() {
        assert_eq!(!crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn device_numbers_are_packed_as_the_kernel_does() {
        assert_eq!(device_number(8, 1), Some(0x801));
        assert_eq!(device_number(259, 0x12345), Some(0x1231_0345));
        assert_eq!(device_number(1 << 12, 0), None);
        assert_eq!(device_number(0, 1 << 20), None);
    }
}
