//! A stream that a client sends, for a thread that may wait for it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::Handle;

use crate::room::Reserve;

/// Bytes that are taken between two looks at the room on the disk.
const LOOK: u64 = 8 << 20;

/// A body that is read as it comes, as long as the disk has room for it.
pub(crate) struct Waiting<B> {
    body: B,
    runtime: Handle,
    reserve: Reserve,
    /// Bytes until the next look.
    left: u64,
    failed: bool,
}

impl<B> Waiting<B> {
    /// To be made where the runtime is.
    pub(crate) fn new(body: B, reserve: Reserve) -> Self {
        Self {
            body,
            runtime: Handle::current(),
            reserve,
            left: 0,
            failed: false,
        }
    }
}

impl<B: AsyncRead + Unpin> io::Read for Waiting<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Once it has failed the rest is read to be thrown away.
        if self.left == 0 && !self.failed {
            self.left = LOOK;
            if let Err(no_room) = self.reserve.check(0) {
                self.failed = true;
                return Err(io::Error::new(io::ErrorKind::StorageFull, no_room));
            }
        }
        let read = self.runtime.block_on(self.body.read(buffer))?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}
