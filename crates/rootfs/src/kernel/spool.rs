//! Keeps the modules' files until it is known which of them a guest boots with.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::KernelError;

/// A file without a name, so that nothing is left of it.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    file: File,
    length: u64,
}

impl Spool {
    pub(crate) fn new(folder: &Path) -> Result<Self, KernelError> {
        Ok(Self {
            folder: folder.to_owned(),
            file: tempfile::tempfile_in(folder).map_err(KernelError::write(folder))?,
            length: 0,
        })
    }

    /// Appends a file; gives where it lies.
    pub(crate) fn push(&mut self, data: &[u8]) -> Result<Range<u64>, KernelError> {
        self.file
            .write_all(data)
            .map_err(KernelError::write(&self.folder))?;
        let start = self.length;
        self.length += data.len() as u64;
        Ok(start..self.length)
    }

    /// Reads a file back.
    pub(crate) fn get(&self, place: &Range<u64>) -> Result<Vec<u8>, KernelError> {
        let length = usize::try_from(place.end - place.start).map_err(|_| io::ErrorKind::OutOfMemory.into());
        let read = length.and_then(|length| {
            let mut data = vec![0; length];
            self.file.read_exact_at(&mut data, place.start)?;
            Ok(data)
        });
        read.map_err(KernelError::write(&self.folder))
    }
}
