//! A whole tar archive into an image.

use std::fs::File;
use std::io::Read;

use tarball::Archive;

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
    let archive = Archive::new(tar);
    let mut archive = match options.end_marker {
        true => archive.with_end_marker(),
        false => archive,
    };
    let mut builder = Builder::new(out, options.clone())?;
    while let Some(member) = archive.next()? {
        builder.add(&member.entry, archive.content(member.map))?;
    }
    archive.drain();
    builder.finish()
}
