//! A stream that a client sends, for a thread that may wait for it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::Handle;

/// A body that is read as it comes.
pub(crate) struct Waiting<B> {
    body: B,
    runtime: Handle,
}

impl<B> Waiting<B> {
    /// To be made where the runtime is.
    pub(crate) fn new(body: B) -> Self {
        Self {
            body,
            runtime: Handle::current(),
        }
    }
}

impl<B: AsyncRead + Unpin> io::Read for Waiting<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.runtime.block_on(self.body.read(buffer))
    }
}
