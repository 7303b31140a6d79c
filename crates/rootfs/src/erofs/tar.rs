//! A whole tar archive into an image.

use std::fs::File;
use std::io::Read;

use super::archive::Archive;
use super::builder::{Builder, Options, Written};
use super::error::ErofsError;

/// Writes an EROFS image with everything that `tar` holds into `out`, which is emptied first; it must be open for
/// reading and writing. Understands ustar, GNU and PAX archives: long names, large numbers, sparse files, extended
/// attributes. Nothing is synced.
///
/// # Errors
/// Each names the entry: a bad archive, an entry that is refused (see [`ErofsError`]), a bound of `options`, or a
/// source or output that fails. What `out` then holds is no image.
pub fn write_tar(tar: impl Read, out: &mut File, options: &Options) -> Result<Written, ErofsError> {
    let mut archive = Archive::new(tar);
    let mut builder = Builder::new(out, options.clone())?;
    while let Some(member) = archive.next(options.end_marker)? {
        match &member.map {
            Some(map) => builder.add(&member.entry, map.expand(archive.data()))?,
            None => builder.add(&member.entry, archive.data())?,
        }
    }
    builder.finish()
}
