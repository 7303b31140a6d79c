//! A listening TCP socket whose connections each become a stream of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::join;

/// Connections that a port has at a time; more of them wait to be accepted.
const MAX_CONNECTIONS: usize = 512;

/// Rest after a connection that could not be accepted: descriptors are used up.
const REST: Duration = Duration::from_millis(100);

/// Joins every connection to a stream of its own that `open` gives; one that gets none is reset, as by a port that
/// nobody listens on. Never ends; dropped, it closes the port and all its connections.
pub async fn carry_tcp<F, O, S>(listener: TcpListener, open: F)
where
    F: Fn() -> O,
    O: Future<Output = Option<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let slot = Arc::clone(&slots).acquire_owned().await;
        let Ok((connection, _)) = listener.accept().await else {
            sleep(REST).await;
            continue;
        };
        let opening = open();
        connections.spawn(async move {
            carry(connection, opening).await;
            drop(slot);
        });
    }
}

async fn carry<S>(mut connection: TcpStream, opening: impl Future<Output = Option<S>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // What is small is not to wait for more.
    let _ = connection.set_nodelay(true);
    let broken = match opening.await {
        Some(mut stream) => join(&mut connection, &mut stream).await.is_err(),
        None => true,
    };
    if broken {
        // Closing it in order would say that all has been sent.
        let _ = connection.set_zero_linger();
    }
}
