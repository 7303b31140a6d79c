//! A tar archive that a program writes, as a stream that is never short, and never endless.

use std::io::{self, Cursor, PipeReader, Read};
use std::sync::Arc;

use crate::error::CatalogError;
use crate::tool::Running;
use crate::workdir::WorkDir;

/// A tar archive that a program writes.
///
/// Its end of file means that the program has ended well: a program that fails in the middle is an error of the last
/// `read`, never a short archive. A reader that stops at the archive's own end mark calls [`TarStream::finish`].
/// Dropping it early kills the program and removes its work files.
pub struct TarStream {
    /// Comes first.
    head: Cursor<Vec<u8>>,
    output: Option<PipeReader>,
    /// Bytes that may still come.
    left: u64,
    running: Running,
    // After `running`: the program ends before its folder goes.
    _folder: Option<Arc<WorkDir>>,
    failed: bool,
}

/// Most bytes of an archive: as many as a bundle's root file system may have.
pub(crate) const MOST_BYTES: u64 = 64 << 30;

impl std::fmt::Debug for TarStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TarStream").finish_non_exhaustive()
    }
}

impl TarStream {
    pub(crate) fn new(running: Running, folder: Option<Arc<WorkDir>>) -> Self {
        Self::with_head(Vec::new(), running, folder)
    }

    /// The same, with members before those that the program writes.
    pub(crate) fn with_head(head: Vec<u8>, mut running: Running, folder: Option<Arc<WorkDir>>) -> Self {
        Self {
            head: Cursor::new(head),
            output: running.take_output(),
            left: MOST_BYTES,
            running,
            _folder: folder,
            failed: false,
        }
    }

    /// Reads what is left and waits for the program's end.
    ///
    /// # Errors
    /// What made the program fail; [`CatalogError::Cancelled`].
    pub fn finish(mut self) -> Result<(), CatalogError> {
        let rest = io::copy(&mut self, &mut io::sink());
        match rest {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.downcast::<CatalogError>() {
                Ok(error) => error,
                Err(_) => CatalogError::ToolFailed {
                    tool: "the archive's writer",
                    reason: "it failed before".into(),
                },
            }),
        }
    }

    fn fail(&mut self, error: CatalogError) -> io::Error {
        self.failed = true;
        self.output = None;
        io::Error::other(error)
    }
}

impl Read for TarStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.head.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        if self.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let Some(output) = &mut self.output else {
            return Ok(0);
        };
        let read = output.read(buffer)?;
        if read == 0 {
            self.output = None;
            return match self.running.wait() {
                Ok(()) => Ok(0),
                Err(error) => Err(self.fail(error)),
            };
        }
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(self.fail(CatalogError::TooLarge {
                what: "archive",
                most: MOST_BYTES >> 30,
                unit: "GiB",
            })),
        }
    }
}
