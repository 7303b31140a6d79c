//! A bound on what comes before an answer.
//!
//! HTTP allows any number of `1xx` heads before the one that counts, and hyper reads them one after the other without
//! giving way: some kilobytes of them, again and again, keep a thread from everything else.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::Stream;

/// A stream of which so many bytes are read until its [`Allowance`] is lifted.
pub(crate) struct UntilAnswered {
    stream: Stream,
    left: Arc<AtomicUsize>,
}

/// What of a stream may still be read.
pub(crate) struct Allowance(Arc<AtomicUsize>);

impl UntilAnswered {
    pub(crate) fn new(stream: Stream, most: usize) -> (Self, Allowance) {
        let left = Arc::new(AtomicUsize::new(most));
        let allowance = Allowance(Arc::clone(&left));
        (Self { stream, left }, allowance)
    }
}

impl Allowance {
    /// The answer has begun: what follows is bounded by whoever reads it.
    pub(crate) fn lift(&self) {
        self.0.store(usize::MAX, Ordering::Release);
    }
}

impl AsyncRead for UntilAnswered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.left.load(Ordering::Acquire);
        if left == usize::MAX {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        if left == 0 {
            let endless = io::Error::new(io::ErrorKind::InvalidData, "the answer does not begin");
            return Poll::Ready(Err(endless));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        // Lifted meanwhile, it stays so.
        let _ = self.left.compare_exchange(
            left,
            left.saturating_sub(count),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        read
    }
}

impl AsyncWrite for UntilAnswered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
