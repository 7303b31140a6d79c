//! Files of the user's that are opened by a name alone: what stands there may be a pipe.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file to read; none if the name is of something else. Nothing is waited for.
pub(crate) fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    Ok(about.is_file().then_some((file, about)))
}

/// The same for who takes nothing but a file.
pub(crate) fn open_only(path: &Path) -> io::Result<File> {
    let (file, _) = open(path)?.ok_or_else(|| io::Error::other("it is not a regular file"))?;
    Ok(file)
}
