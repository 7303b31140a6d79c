//! A socket of this host joined to a stream, and closed once its peer is gone.
//!
//! The end of a stream looks the same whether the peer still listens or is gone, and a stream is not read while the
//! guest takes nothing. The kernel knows more: a reset, or a peer that has closed both directions.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{MissedTickBehavior, interval};

use super::join;

/// Rest between two polls of a socket.
const LOOK: Duration = Duration::from_secs(1);

/// Silence of a peer before the kernel's first keepalive probe, and between two probes.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Probes without an answer after which the peer counts as gone.
const UNANSWERED: u32 = 6;

/// A connected socket.
pub trait Socket: AsFd + Sync {
    /// Waits until it may be readable.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Waits until it may be writable.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Reads what is there.
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes what there is room for.
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize>;
}

macro_rules! socket {
    ($kind:ty) => {
        impl Socket for $kind {
            fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(cx)
            }
            fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }
            fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.try_read(buffer)
            }
            fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
                self.try_write(bytes)
            }
        }
    };
}

socket!(TcpStream);
socket!(UnixStream);

/// As [`join`], until the socket's peer is gone: after a reset at once, and after the peer has closed both directions as
/// soon as all that it sent is passed on.
///
/// # Errors
/// Those of [`join`], and [`io::ErrorKind::ConnectionReset`] where the peer was gone first.
pub async fn join_socket<S: Socket, B>(near: &S, far: &mut B) -> io::Result<()>
where
    B: AsyncRead + AsyncWrite + Unpin,
{
    let ended = AtomicBool::new(false);
    let mut stream = Shared {
        socket: near,
        ended: &ended,
    };
    tokio::select! {
        joined = join(&mut stream, far) => joined,
        () = gone(near, &ended) => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// Turns on keepalive probes: a peer that vanished counts as gone after about a minute, and so does one that closed both
/// directions, of which only the end of one arrived.
pub(super) fn keep_alive(connection: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(connection, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(connection, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(connection, UNANSWERED)?;
    Ok(sockopt::set_socket_keepalive(connection, true)?)
}

/// Ends when the peer has reset the connection.
pub(super) async fn reset(socket: &impl AsFd) {
    gone(socket, &AtomicBool::new(false)).await;
}

/// Ends when the peer is gone and nothing that it sent is left.
async fn gone(socket: &impl AsFd, ended: &AtomicBool) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let mut looked = [PollFd::new(socket, PollFlags::empty())];
        if poll(&mut looked, Some(&Timespec::default())).is_err() {
            // The state cannot be seen; the stream ends by itself.
            return pending().await;
        }
        let seen = looked[0].revents();
        if seen.contains(PollFlags::ERR) || seen.contains(PollFlags::HUP) && ended.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// A socket that is read and written while it is polled.
struct Shared<'a, S> {
    socket: &'a S,
    /// Whether its end has been read; all before it is passed on then.
    ended: &'a AtomicBool,
}

impl<S: Socket> AsyncRead for Shared<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_readable(cx))?;
            match self.socket.read_now(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(length) => {
                    if length == 0 {
                        self.ended.store(true, Ordering::Relaxed);
                    }
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: Socket> AsyncWrite for Shared<'_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_writable(cx))?;
            match self.socket.write_now(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket: BorrowedFd<'_> = self.socket.as_fd();
        Poll::Ready(match shutdown(socket, Shutdown::Write) {
            // The peer was faster.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Far less than a half-closed connection may be silent.
    const SOON: Duration = Duration::from_secs(30);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_reset_after_a_half_close_ends_the_connection_though_the_guest_is_silent() {
        let (mut client, near) = pair().await;
        let (mut server, mut far) = duplex(64);
        let joined = tokio::spawn(async move { join_socket(&near, &mut far).await });
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        client.set_zero_linger().unwrap();
        drop(client);
        assert!(timeout(SOON, joined).await.unwrap().unwrap().is_err());
    }

    #[tokio::test]
    async fn a_reset_ends_the_connection_though_the_guest_reads_nothing() {
        let (client, near) = pair().await;
        let (_server, mut far) = duplex(64);
        let joined = tokio::spawn(async move { join_socket(&near, &mut far).await });
        // More than the guest takes, and than is read ahead for it.
        while let Ok(Ok(())) = timeout(Duration::from_millis(300), client.writable()).await {
            let _ = client.try_write(&[7; 1 << 16]);
        }
        client.set_zero_linger().unwrap();
        drop(client);
        assert!(timeout(SOON, joined).await.unwrap().unwrap().is_err());
    }

    #[tokio::test]
    async fn everything_that_a_local_client_sent_arrives_before_its_close_counts() {
        let (mut client, near) = UnixStream::pair().unwrap();
        let (mut server, mut far) = duplex(64);
        let joined = tokio::spawn(async move { join_socket(&near, &mut far).await });
        client.write_all(&[7; 1 << 16]).await.unwrap();
        drop(client);
        // Polled meanwhile.
        tokio::time::sleep(2 * LOOK).await;
        let mut sent = Vec::new();
        server.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent.len(), 1 << 16);
        assert!(timeout(SOON, joined).await.unwrap().unwrap().is_err());
    }

    #[tokio::test]
    async fn a_client_that_has_half_closed_still_hears_the_answer() {
        let (mut client, near) = pair().await;
        keep_alive(&near).unwrap();
        let (mut server, mut far) = duplex(64);
        let joined = tokio::spawn(async move { join_socket(&near, &mut far).await });
        client.shutdown().await.unwrap();
        tokio::time::sleep(2 * LOOK).await;
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        joined.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_silent_peer_is_probed() {
        let (_client, near) = pair().await;
        keep_alive(&near).unwrap();
        assert!(sockopt::socket_keepalive(&near).unwrap());
        let until_gone = sockopt::tcp_keepidle(&near).unwrap()
            + sockopt::tcp_keepintvl(&near).unwrap() * sockopt::tcp_keepcnt(&near).unwrap();
        assert!(until_gone <= Duration::from_secs(90), "{until_gone:?}");
    }
}
