//! A virtio-serial port as a byte stream that notices the host's absence without spinning over it.
//!
//! While no host holds the other end, the port polls as readable and hung up for ever, and reads give 0. So the port
//! is watched edge by edge: an epoll of its own holds it with `EPOLLET`, and the runtime watches that epoll.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::descriptor::{register, set_nonblocking};

/// How long the host may seem gone before the session ends. A notice of absence travels another queue than the data
/// and can be old news; the host's next session says so itself with its HELLO.
const ABSENCE: Duration = Duration::from_millis(500);

/// The agent's end of the port. A read fails once with [`io::ErrorKind::ConnectionAborted`] each time the host has
/// been gone for [`ABSENCE`], and waits for the next host after that.
#[derive(Debug)]
pub struct HostPort {
    fd: OwnedFd,
    edges: AsyncFd<OwnedFd>,
    absence: Absence,
    /// The last write found no room: whoever takes an edge owes the writer a wake-up.
    write_waits: bool,
}

#[derive(Debug)]
enum Absence {
    Present,
    Since(Pin<Box<Sleep>>),
    Reported,
}

impl HostPort {
    /// Takes over an open port.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        set_nonblocking(&fd)?;
        let edges = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let interest = epoll::EventFlags::ET | epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::add(&edges, &fd, epoll::EventData::new_u64(0), interest)?;
        Ok(Self {
            fd,
            edges: register(edges)?,
            absence: Absence::Present,
            write_waits: false,
        })
    }

    /// Takes an edge, or leaves the task waiting for one.
    fn poll_edge(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.edges.poll_read_ready(cx))?;
        let mut events = Vec::with_capacity(1);
        let now = rustix::time::Timespec::default();
        epoll::wait(guard.get_inner(), spare_capacity(&mut events), Some(&now))?;
        guard.clear_ready();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for HostPort {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match rustix::io::read(&this.fd, buffer.initialize_unfilled()) {
                Ok(0) => match &mut this.absence {
                    Absence::Present => {
                        this.absence = Absence::Since(Box::pin(sleep(ABSENCE)));
                        continue;
                    }
                    Absence::Since(timer) => {
                        if timer.as_mut().poll(cx).is_ready() {
                            this.absence = Absence::Reported;
                            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                        }
                    }
                    Absence::Reported => {}
                },
                Ok(count) => {
                    this.absence = Absence::Present;
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => this.absence = Absence::Present,
                Err(Errno::INTR) => continue,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            ready!(this.poll_edge(cx))?;
            if std::mem::take(&mut this.write_waits) {
                cx.waker().wake_by_ref();
            }
        }
    }
}

impl AsyncWrite for HostPort {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            match rustix::io::write(&this.fd, bytes) {
                Ok(count) => {
                    this.write_waits = false;
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::AGAIN) => this.write_waits = true,
                Err(Errno::INTR) => continue,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            ready!(this.poll_edge(cx))?;
            // The edge may have been for the reader, who is the same task.
            cx.waker().wake_by_ref();
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn an_absent_host_is_reported_once_and_bytes_before_that_are_not_lost() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut port = HostPort::new(near.into()).unwrap();
        far.set_nonblocking(true).unwrap();
        let mut host = tokio::net::UnixStream::from_std(far).unwrap();
        host.write_all(b"hello").await.unwrap();
        port.write_all(b"welcome").await.unwrap();
        let mut buffer = [0; 16];
        let count = host.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"welcome");
        drop(host);
        let count = port.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"hello");
        let error = port.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        // After that it waits for the next host, without reading nothing over and over.
        let mut next = Box::pin(port.read(&mut buffer));
        assert!(futures::poll!(&mut next).is_pending());
        let waited = tokio::time::timeout(ABSENCE * 2, next).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    #[tokio::test]
    async fn a_writer_goes_on_when_there_is_room_again() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut port = HostPort::new(near.into()).unwrap();
        far.set_nonblocking(true).unwrap();
        let mut host = tokio::net::UnixStream::from_std(far).unwrap();
        let bytes = vec![7; 4 << 20];
        let mut received = vec![0; bytes.len()];
        let (sent, read) = futures::join!(port.write_all(&bytes), host.read_exact(&mut received));
        sent.unwrap();
        read.unwrap();
        assert!(received == bytes);
    }
}
