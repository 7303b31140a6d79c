//! A stream that is held against a size and a hash while others read it.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::{BundleError, hex};
use progress::Cancel;

/// One of several hands on the stream: one reads through decoders, the other looks at what came of it.
pub(super) struct Checked<R>(Arc<Mutex<Inner<R>>>);

struct Inner<R> {
    source: R,
    hash: Sha256,
    got: u64,
    expected: u64,
    cancel: Cancel,
    progress: Box<dyn FnMut(u64) + Send>,
    /// What is wrong with the stream itself; readers above it know only that it fails.
    fault: Option<BundleError>,
}

impl<R> Clone for Checked<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Read> Checked<R> {
    pub(super) fn new(
        source: R,
        expected: u64,
        cancel: &Cancel,
        progress: Box<dyn FnMut(u64) + Send>,
    ) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            source,
            hash: Sha256::new(),
            got: 0,
            expected,
            cancel: cancel.clone(),
            progress,
            fault: None,
        })))
    }

    /// Reads what is left and compares the hash.
    pub(super) fn finish(&self, sha256: &str) -> Result<(), BundleError> {
        let mut inner = self.inner();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match inner.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(inner.fault.take().unwrap_or(BundleError::Read(error))),
            }
        }
        let found = hex(&inner.hash.clone().finalize());
        if found != sha256 {
            return Err(BundleError::Hash {
                expected: sha256.to_owned(),
                found,
            });
        }
        Ok(())
    }

    /// What made a reader above the stream fail, if that is the stream's fault: what is wrong with it comes first, then
    /// that it is another one than was told.
    pub(super) fn cause(&self, sha256: &str) -> Option<BundleError> {
        let fault = self.inner().fault.take();
        fault.or_else(|| self.finish(sha256).err())
    }

    fn inner(&self) -> MutexGuard<'_, Inner<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner().read(buffer)
    }
}

impl<R: Read> Inner<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let fault = match self.source.read(buffer) {
            _ if self.cancel.is_cancelled() => BundleError::Cancelled,
            Ok(0) if self.got == self.expected => return Ok(0),
            Ok(0) => BundleError::Truncated {
                got: self.got,
                expected: self.expected,
            },
            Ok(read) if read as u64 > self.expected - self.got => BundleError::Longer {
                expected: self.expected,
            },
            Ok(read) => {
                self.got += read as u64;
                self.hash.update(&buffer[..read]);
                (self.progress)(self.got);
                return Ok(read);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            // What a server that hangs up early leaves behind.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => BundleError::Truncated {
                got: self.got,
                expected: self.expected,
            },
            Err(error) => BundleError::Read(error),
        };
        self.fault = Some(fault);
        Err(io::Error::other("the bundle's stream failed"))
    }
}
