//! A listening TCP socket whose connections each become a stream of their own.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::slots::VmSlots;
use super::socket::{join_socket, keep_alive, reset};

/// Rest after a connection that could not be accepted: descriptors are used up.
const REST: Duration = Duration::from_millis(100);

/// Joins every connection to a stream of its own that `open` gives. A connection without a stream or a free slot is
/// reset, as by a port that nothing listens on. Never ends; dropped, it closes the port and all its connections.
pub async fn carry_tcp<F, O, S>(listener: TcpListener, slots: VmSlots, open: F)
where
    F: Fn() -> O,
    O: Future<Output = Option<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((connection, _)) = listener.accept().await else {
            sleep(REST).await;
            continue;
        };
        let Some(slot) = slots.take_for(&connection) else {
            let _ = connection.set_zero_linger();
            continue;
        };
        let opening = open();
        connections.spawn(async move {
            carry(connection, opening).await;
            drop(slot);
        });
    }
}

async fn carry<S>(connection: TcpStream, opening: impl Future<Output = Option<S>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // What is small is not to wait for more.
    let _ = connection.set_nodelay(true);
    let _ = keep_alive(&connection);
    let opened = tokio::select! {
        opened = opening => opened,
        () = reset(&connection) => None,
    };
    let broken = match opened {
        Some(mut stream) => join_socket(&connection, &mut stream).await.is_err(),
        None => true,
    };
    if broken {
        // Closing it in order would say that all has been sent.
        let _ = connection.set_zero_linger();
    }
}
