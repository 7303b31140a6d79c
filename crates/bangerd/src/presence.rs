//! Whether the client of a connection is still there.
//!
//! A client that has sent its request may close the half that it sends on and wait for the answer (`nc -N`, `socat`,
//! `shutdown(2)`); the end of what it sends is not its departure. Only a hang-up of the socket is: both halves are
//! closed, and nobody is left to read an answer.
#![expect(
    unsafe_code,
    reason = "the runtime takes a bare descriptor number only on the caller's word"
)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// Watches a connection, beside the server that reads and writes it.
#[derive(Debug)]
pub(crate) struct Presence(AsyncFd<OwnedFd>);

impl Presence {
    /// Takes one more descriptor, for as long as it lives: a descriptor can be watched once only.
    pub(crate) fn of(stream: &UnixStream) -> io::Result<Self> {
        let descriptor = stream.as_fd().try_clone_to_owned()?;
        // epoll reports a hang-up whatever was asked for. With READABLE, what the client sends and the end of it would
        // be reported too.
        // SAFETY: an `OwnedFd` names one open descriptor until it is dropped, and the registration owns it.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::PRIORITY)? };
        Ok(Self(watched))
    }

    /// Returns once the client has closed both halves, whether or not all that it sent has been read.
    pub(crate) async fn ended(&self) {
        // An error means that the runtime ends, and the connection with it.
        while let Ok(mut ready) = self.0.ready(Interest::PRIORITY).await {
            if ready.ready().is_read_closed() {
                return;
            }
            // Urgent data, which nobody here wants.
            ready.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_client_is_there_until_it_has_closed_both_halves() {
        let (mut client, mut server) = UnixStream::pair().unwrap();
        let presence = Presence::of(&server).unwrap();
        client.write_all(b"all").await.unwrap();
        client.shutdown().await.unwrap();
        server.read_to_string(&mut String::new()).await.unwrap();
        let still = timeout(Duration::from_millis(50), presence.ended()).await;
        assert!(still.is_err(), "a client that waits for its answer is there");
        drop(client);
        presence.ended().await;
    }

    #[tokio::test]
    async fn what_was_not_read_hides_no_departure() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let presence = Presence::of(&server).unwrap();
        client.write_all(b"unread").await.unwrap();
        drop(client);
        presence.ended().await;
    }
}
