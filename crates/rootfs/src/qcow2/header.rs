//! The header of a qcow2 and its first table.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::Qcow2Error;
use super::cluster::Compression;

pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// What of the header is read; version 2 has 72 bytes.
const LENGTH: usize = 112;
/// What QEMU itself takes.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
const MOST_L1_BYTES: u64 = 32 << 20;
/// As large as the largest disk of a VM.
const LARGEST: u64 = crate::layer::LARGEST;
/// Bits 9 to 55 of an entry.
pub(super) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

#[derive(Debug)]
pub(super) struct Header {
    /// Bytes of the disk.
    pub(super) size: u64,
    pub(super) cluster_bits: u32,
    pub(super) version: u32,
    pub(super) compression: Compression,
    l1_offset: u64,
    l1_entries: u64,
    /// Bytes of the file.
    length: u64,
}

impl Header {
    pub(super) fn read(file: &File) -> Result<Self, Qcow2Error> {
        let length = file.metadata().map_err(Qcow2Error::Read)?.len();
        let mut bytes = [0; LENGTH];
        let known = LENGTH.min(usize::try_from(length).unwrap_or(LENGTH));
        file.read_exact_at(&mut bytes[..known], 0)
            .map_err(Qcow2Error::Read)?;
        if bytes[..4] != MAGIC {
            return Err(Qcow2Error::NotOne);
        }
        let version = u32_at(&bytes, 4);
        if !(2..=3).contains(&version) {
            return unsupported("a version that is neither 2 nor 3");
        }
        if u64_at(&bytes, 8) != 0 {
            return unsupported("a backing file");
        }
        if u32_at(&bytes, 32) != 0 {
            return unsupported("encryption");
        }
        let compression = if version == 2 {
            Compression::Deflate
        } else {
            compression(&bytes)?
        };
        let header = Self {
            size: u64_at(&bytes, 24),
            cluster_bits: u32_at(&bytes, 20),
            version,
            compression,
            l1_offset: u64_at(&bytes, 40),
            l1_entries: u64::from(u32_at(&bytes, 36)),
            length,
        };
        header.check()?;
        Ok(header)
    }

    pub(super) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// The offsets of the second tables.
    pub(super) fn l1(&self, file: &File) -> Result<Vec<u64>, Qcow2Error> {
        let needed = self
            .size
            .div_ceil(self.cluster_size() * (self.cluster_size() / 8));
        let mut bytes = vec![0; usize::try_from(needed * 8).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, self.l1_offset).map_err(cut)?;
        let entries = bytes.chunks_exact(8);
        Ok(entries
            .map(|entry| entry.try_into().map_or(0, u64::from_be_bytes) & OFFSET)
            .collect())
    }

    /// Where a second table, or a cluster, lies; none where there is none.
    pub(super) fn table(&self, offset: u64) -> Result<Option<u64>, Qcow2Error> {
        if offset == 0 {
            return Ok(None);
        }
        if !offset.is_multiple_of(self.cluster_size()) {
            return damaged("an offset is not that of a cluster");
        }
        if offset >= self.length {
            return damaged("an offset lies behind its end");
        }
        Ok(Some(offset))
    }

    fn check(&self) -> Result<(), Qcow2Error> {
        if !CLUSTER_BITS.contains(&self.cluster_bits) {
            return damaged("its clusters have an impossible size");
        }
        if self.size > LARGEST {
            return unsupported("more than 8 TiB");
        }
        let needed = self
            .size
            .div_ceil(self.cluster_size() * (self.cluster_size() / 8));
        if self.l1_entries < needed {
            return damaged("its first table is too short for its size");
        }
        if needed * 8 > MOST_L1_BYTES {
            return damaged("its first table is too large");
        }
        if needed > 0 && self.table(self.l1_offset)?.is_none() {
            return damaged("it has no first table");
        }
        Ok(())
    }
}

fn compression(bytes: &[u8; LENGTH]) -> Result<Compression, Qcow2Error> {
    let features = u64_at(bytes, 72);
    if features & CORRUPT != 0 {
        return damaged("it is marked as corrupt; see what `qemu-img check` says");
    }
    if features & EXTERNAL != 0 {
        return unsupported("an external data file");
    }
    if features & EXTENDED_L2 != 0 {
        return unsupported("subclusters");
    }
    // A dirty one has counts of references to be made anew, which nobody reads here.
    if features & !(DIRTY | COMPRESSION) != 0 {
        return unsupported("a feature of a later version");
    }
    match (features & COMPRESSION, bytes[104]) {
        (0, _) | (_, 0) => Ok(Compression::Deflate),
        (_, 1) => Ok(Compression::Zstd),
        _ => unsupported("a compression that is neither deflate nor zstd"),
    }
}

/// What it means that something is not there.
pub(super) fn cut(error: io::Error) -> Qcow2Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Qcow2Error::Damaged {
            what: "it is cut short",
        },
        _ => Qcow2Error::Read(error),
    }
}

pub(super) fn damaged<T>(what: &'static str) -> Result<T, Qcow2Error> {
    Err(Qcow2Error::Damaged { what })
}

fn unsupported<T>(what: &'static str) -> Result<T, Qcow2Error> {
    Err(Qcow2Error::Unsupported { what })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}
