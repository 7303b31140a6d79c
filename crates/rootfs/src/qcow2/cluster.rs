//! Where a cluster's data is, and how it is packed.

use std::io::Read;

use super::Qcow2Error;
use super::header::{Header, OFFSET, damaged};

const COMPRESSED: u64 = 1 << 62;
/// Reads as zeros, whatever its offset; since version 3.
const ZERO: u64 = 1;
const SECTOR: u64 = 512;
/// Window that a packer may have used: no more than a cluster has.
const WINDOW_LOG: u32 = 21;

/// One entry of a second table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cluster {
    Nowhere,
    At(u64),
    Compressed(Compressed),
}

/// Packed data: so many bytes at most.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compressed {
    pub(super) offset: u64,
    pub(super) length: usize,
}

impl Cluster {
    pub(super) fn of(entry: u64, header: &Header) -> Result<Self, Qcow2Error> {
        if entry & COMPRESSED != 0 {
            let bits = 62 - (header.cluster_bits - 8);
            let offset = entry & ((1 << bits) - 1);
            let sectors = (entry & (COMPRESSED - 1)) >> bits;
            let length = (sectors + 1) * SECTOR - offset % SECTOR;
            return Ok(Self::Compressed(Compressed {
                offset,
                // At most twice a cluster, by the bits that there are.
                length: usize::try_from(length).unwrap_or(usize::MAX),
            }));
        }
        if header.version >= 3 && entry & ZERO != 0 {
            return Ok(Self::Nowhere);
        }
        Ok(header.table(entry & OFFSET)?.map_or(Self::Nowhere, Self::At))
    }
}

/// How clusters are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Deflate,
    Zstd,
}

impl Compression {
    /// Fills `data`, a cluster. What follows the packed data in its last sector is somebody else's.
    pub(super) fn unpack(self, packed: &[u8], data: &mut [u8]) -> Result<(), Qcow2Error> {
        let read = match self {
            Self::Deflate => flate2::read::DeflateDecoder::new(packed).read_exact(data),
            Self::Zstd => zstd::Decoder::with_buffer(packed).and_then(|decoder| {
                let mut decoder = decoder.single_frame();
                decoder.window_log_max(WINDOW_LOG)?;
                decoder.read_exact(data)
            }),
        };
        read.or_else(|_| damaged("a compressed cluster is broken"))
    }
}
