//! A stream whose two directions may be driven by two tasks.
//!
//! yamux' own may not: both directions send through one queue, which wakes the last task that waited for it and
//! forgets the others. A reader that waits to give credit and a writer that waits for room would each lose the other's
//! wake-up, and with it the stream. Here whatever happens wakes both.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// One stream of a session: bytes both ways.
#[derive(Debug)]
pub struct Stream {
    inner: yamux::Stream,
    tasks: Arc<Tasks>,
    /// Wakes the tasks.
    waker: Waker,
}

#[derive(Debug, Default)]
struct Tasks {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl Stream {
    pub(super) fn new(inner: yamux::Stream) -> Self {
        let tasks = Arc::new(Tasks::default());
        let waker = Waker::from(Arc::clone(&tasks));
        Self { inner, tasks, waker }
    }

    fn write_half(&mut self, cx: &Context<'_>) -> (Pin<&mut yamux::Stream>, Context<'_>) {
        self.tasks.writer.register(cx.waker());
        (Pin::new(&mut self.inner), Context::from_waker(&self.waker))
    }
}

impl futures::AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.tasks.reader.register(cx.waker());
        Pin::new(&mut this.inner).poll_read(&mut Context::from_waker(&this.waker), buffer)
    }
}

impl futures::AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (inner, mut cx) = self.write_half(cx);
        inner.poll_write(&mut cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (inner, mut cx) = self.write_half(cx);
        inner.poll_flush(&mut cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (inner, mut cx) = self.write_half(cx);
        inner.poll_close(&mut cx)
    }
}
