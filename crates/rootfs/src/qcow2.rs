//! qcow2 disks, read: QEMU, `docs/interop/qcow2.rst`, versions 2 and 3.
//!
//! ```text
//!   header ─► L1 table ─► L2 table ─► cluster: nowhere (zeros), at an offset, or compressed (deflate, zstd)
//! ```
//!
//! The file is somebody else's word: each offset and length is held against the file, tables against their bounds, and a
//! disk that leans on another file (a backing file, external data) is refused rather than followed.

mod cluster;
mod header;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use cluster::{Cluster, Compressed};
use header::Header;

/// Why a qcow2 disk cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Qcow2Error {
    /// Its first bytes are not those of a qcow2.
    #[error("it is no qcow2 disk")]
    NotOne,
    /// It is whole, but of a kind that is not read.
    #[error("it is a qcow2 disk with {what}, which is not supported")]
    Unsupported {
        /// What it has.
        what: &'static str,
    },
    /// It contradicts itself.
    #[error("it is a damaged qcow2 disk: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// What it holds cannot be written.
    #[error("its copy cannot be written: {0}")]
    Write(#[source] io::Error),
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Qcow2Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unsupported { .. } => Some("make it raw first: qemu-img convert -O raw IN OUT"),
            _ => None,
        }
    }
}

/// Whether a file begins like a qcow2.
///
/// # Errors
/// It cannot be read.
pub fn is_one(file: &File) -> io::Result<bool> {
    let mut magic = [0; 4];
    match file.read_exact_at(&mut magic, 0) {
        Ok(()) => Ok(magic == header::MAGIC),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes the disk that a qcow2 holds into `out`, which is empty; what is zero stays a hole. `progress` is told how many
/// bytes of the disk are done, of how many, and says whether to go on.
///
/// # Errors
/// [`Qcow2Error`].
pub fn unpack(file: &File, out: &File, mut progress: impl FnMut(u64, u64) -> bool) -> Result<(), Qcow2Error> {
    let header = Header::read(file)?;
    out.set_len(header.size).map_err(Qcow2Error::Write)?;
    let cluster_size = header.cluster_size();
    let length = usize::try_from(cluster_size).unwrap_or(usize::MAX);
    let entries = cluster_size / 8;
    let l1 = header.l1(file)?;
    let (mut table, mut data) = (vec![0; length], vec![0; length]);
    for (number, l2) in l1.into_iter().enumerate() {
        let first = number as u64 * entries * cluster_size;
        if !progress(first, header.size) {
            return Err(Qcow2Error::Cancelled);
        }
        let Some(l2) = header.table(l2)? else { continue };
        file.read_exact_at(&mut table, l2).map_err(header::cut)?;
        for (number, entry) in table.chunks_exact(8).enumerate() {
            let at = first + number as u64 * cluster_size;
            if at >= header.size {
                break;
            }
            let entry = entry.try_into().map_or(0, u64::from_be_bytes);
            match Cluster::of(entry, &header)? {
                Cluster::Nowhere => continue,
                Cluster::At(offset) => file.read_exact_at(&mut data, offset).map_err(header::cut)?,
                Cluster::Compressed(compressed) => unpack_one(file, &compressed, &header, &mut data)?,
            }
            let room = usize::try_from(header.size - at)
                .unwrap_or(usize::MAX)
                .min(length);
            if data[..room].iter().any(|byte| *byte != 0) {
                out.write_all_at(&data[..room], at).map_err(Qcow2Error::Write)?;
            }
        }
    }
    Ok(())
}

fn unpack_one(
    file: &File,
    compressed: &Compressed,
    header: &Header,
    data: &mut [u8],
) -> Result<(), Qcow2Error> {
    let mut packed = vec![0; compressed.length];
    // The last one may end with the file before its last sector does.
    let mut filled = 0;
    while filled < packed.len() {
        match file.read_at(&mut packed[filled..], compressed.offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Qcow2Error::Read(error)),
        }
    }
    header.compression.unpack(&packed[..filled], data)
}
