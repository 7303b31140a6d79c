//! A stream whose directions end each by itself, over one that ends as a whole.
//!
//! Firecracker's vsock is such a one: the host does not hear that a guest has shut down its direction, and a direction
//! that the host shuts down takes the other one along. So the end is said within: a piece is `length: u16 big-endian |
//! bytes`, and a length of 0 is the end of its direction. A stream that ends without has broken off.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, BufReader, ReadBuf};
use tokio::time::timeout;

use super::join::SILENCE;

/// Bytes that are read ahead, and most of a piece that is sent.
const PIECE: usize = 16 << 10;

/// The stream.
#[derive(Debug)]
pub struct Framed<S> {
    inner: BufReader<S>,
    /// The length of the piece that comes, as far as it has come.
    length: [u8; 2],
    known: usize,
    /// What is still to come of the piece.
    left: usize,
    heard_end: bool,
    /// What is still to be sent, from `sent` on.
    pending: Vec<u8>,
    sent: usize,
    said_end: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    /// Over a stream that has carried nothing of it yet.
    pub fn new(inner: S) -> Self {
        Self {
            inner: BufReader::with_capacity(PIECE, inner),
            length: [0; 2],
            known: 0,
            left: 0,
            heard_end: false,
            pending: Vec::new(),
            sent: 0,
            said_end: false,
        }
    }

    /// Waits, after both directions have ended, until the other side has closed the stream: what is on its way to it would
    /// be lost with ours. Not longer than a direction may be silent.
    pub async fn closed(mut self) {
        let mut rest = [0; 64];
        let closed = async { while matches!(self.inner.read(&mut rest).await, Ok(1..)) {} };
        let _ = timeout(SILENCE, closed).await;
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.pending.len() {
            let inner = Pin::new(&mut self.inner);
            match ready!(inner.poll_write(cx, &self.pending[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => self.sent += length,
            }
        }
        self.pending.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.heard_end && buffer.remaining() > 0 {
            let come = ready!(Pin::new(&mut this.inner).poll_fill_buf(cx))?;
            if come.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if this.left > 0 {
                let length = come.len().min(this.left).min(buffer.remaining());
                buffer.put_slice(&come[..length]);
                this.left -= length;
                Pin::new(&mut this.inner).consume(length);
                break;
            }
            this.length[this.known] = come[0];
            this.known += 1;
            Pin::new(&mut this.inner).consume(1);
            if this.known == this.length.len() {
                this.known = 0;
                this.left = usize::from(u16::from_be_bytes(this.length));
                this.heard_end = this.left == 0;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_sent(cx))?;
        if this.said_end {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let piece = &bytes[..bytes.len().min(PIECE)];
        // One without bytes would be the end.
        if let Ok(length @ 1..) = u16::try_from(piece.len()) {
            this.pending.extend_from_slice(&length.to_be_bytes());
            this.pending.extend_from_slice(piece);
        }
        // What does not go now goes with the next one, or a flush.
        match this.poll_sent(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(piece.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_sent(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said_end {
            this.pending.extend_from_slice(&[0; 2]);
            this.said_end = true;
        }
        ready!(this.poll_sent(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn each_direction_ends_by_itself_and_the_stream_when_both_have() {
        let (near, far) = duplex(100);
        let (mut near, mut far) = (Framed::new(near), Framed::new(far));
        let answer = vec![7; 300_000];
        let asking = async {
            near.write_all(b"question").await.unwrap();
            near.shutdown().await.unwrap();
            let mut heard = Vec::new();
            near.read_to_end(&mut heard).await.unwrap();
            assert_eq!(
                near.write(b"more").await.unwrap_err().kind(),
                io::ErrorKind::BrokenPipe
            );
            drop(near);
            heard
        };
        let answering = async {
            let mut question = String::new();
            far.read_to_string(&mut question).await.unwrap();
            assert_eq!(question, "question");
            far.write_all(&answer).await.unwrap();
            far.shutdown().await.unwrap();
            far.closed().await;
        };
        let (heard, ()) = tokio::join!(asking, answering);
        assert!(heard == answer, "{} bytes", heard.len());
    }

    #[tokio::test]
    async fn a_stream_that_ends_without_an_end_has_broken_off() {
        for come in [&b""[..], b"\0", b"\0\x03ab", b"\0\x02ab", b"\0\x02ab\0"] {
            let (mut near, far) = duplex(100);
            near.write_all(come).await.unwrap();
            drop(near);
            let error = Framed::new(far).read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{come:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_comes_is_what_was_sent_however_it_is_cut(
            pieces in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..40_000), 0..6),
            room in 1_usize..5_000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let heard = runtime.block_on(async {
                let (near, far) = duplex(room);
                let (mut near, mut far) = (Framed::new(near), Framed::new(far));
                let sending = async {
                    for piece in &pieces {
                        near.write_all(piece).await.unwrap();
                    }
                    near.shutdown().await.unwrap();
                };
                let mut heard = Vec::new();
                let (_, read) = tokio::join!(sending, far.read_to_end(&mut heard));
                read.unwrap();
                heard
            });
            assert!(heard == pieces.concat());
        }

        #[test]
        fn no_bytes_make_it_panic(come: Vec<u8>) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let (mut near, far) = duplex(come.len().max(1));
                near.write_all(&come).await.unwrap();
                drop(near);
                let _ = Framed::new(far).read_to_end(&mut Vec::new()).await;
            });
        }
    }
}
