//! Work seeds: what a VM's `/root` holds when it first starts, as a plain tar.
//!
//! ```text
//!   tar (plain, gzip, zstd, xz) ─┐
//!   ext4, read in user space ────┴─► folders, files and links, all below the top ─► tar
//! ```
//!
//! Whatever a user gives is read as if somebody else had made it: bounded, no path that leads out, nothing but folders,
//! files and links. Owners are left out, since `/root` is root's.

mod ext4;
mod tar_reader;
mod writer;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use ext4_view::Ext4Error;

use crate::probe::{FileSystem, probe};
use writer::Writer;

/// Most bytes of all files.
const MOST_BYTES: u64 = 4 << 30;
/// Most entries.
const MOST_ENTRIES: u64 = 200_000;

/// Why a file is no work seed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It is neither an archive nor a file system.
    #[error("it is neither a tar, plain or compressed by gzip, zstd or xz, nor a cleanly unmounted ext4")]
    Unknown,
    /// The archive is broken.
    #[error("it is a broken tar: {0}")]
    Tar(#[source] tarball::ArchiveError),
    /// The file system is broken.
    #[error("its ext4 cannot be read: {0}")]
    Ext4(#[source] Ext4Error),
    /// A path leads out, or is none.
    #[error("`{path}` in it is not a path below its top")]
    Path {
        /// The path.
        path: String,
    },
    /// Something that a home does not hold.
    #[error("`{path}` in it is a device, a pipe or a socket; only folders, files and links can be")]
    Special {
        /// The path.
        path: String,
    },
    /// Folders within folders without end.
    #[error("`{path}` in it lies too deep")]
    Deep {
        /// The path.
        path: String,
    },
    /// There is more in it than may be.
    #[error("it holds more than {MOST_ENTRIES} entries or {} GiB", MOST_BYTES >> 30)]
    TooLarge,
    /// It holds nothing.
    #[error("it is empty")]
    Empty,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The plain tar cannot be written.
    #[error("its copy cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// Writes what `file` holds as a plain tar.
///
/// # Errors
/// [`SeedError`].
pub fn convert(mut file: File, out: impl Write) -> Result<(), SeedError> {
    let mut writer = Writer::new(out);
    match probe(&file) {
        Ok(FileSystem::Ext4) => ext4::read(file, &mut writer)?,
        _ => {
            file.seek(SeekFrom::Start(0)).map_err(SeedError::Read)?;
            tar_reader::read(file, &mut writer)?;
        }
    }
    writer.finish()
}

/// Fills a buffer as far as the source goes.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
