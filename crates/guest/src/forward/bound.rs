//! A port of the host that is bound, whatever it speaks.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UdpSocket};

use super::{Protocol, carry_tcp, carry_udp};

/// A bound port; dropping it releases it.
#[derive(Debug)]
pub enum Bound {
    /// One that connections come to.
    Tcp(TcpListener),
    /// One that datagrams come to.
    Udp(UdpSocket),
}

impl Bound {
    /// Binds an endpoint; port 0 is any that is free.
    ///
    /// # Errors
    /// The system's reason.
    pub async fn bind(protocol: Protocol, endpoint: SocketAddr) -> io::Result<Self> {
        match protocol {
            Protocol::Tcp => TcpListener::bind(endpoint).await.map(Self::Tcp),
            Protocol::Udp => UdpSocket::bind(endpoint).await.map(Self::Udp),
        }
    }

    /// What is bound, with its real port.
    ///
    /// # Errors
    /// The system's reason.
    pub fn endpoint(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }

    /// Carries what comes over streams that `open` gives. Never ends; dropped, it releases the port and cuts off what
    /// it carried.
    pub async fn carry<F, O, S>(self, open: F)
    where
        F: Fn() -> O,
        O: Future<Output = Option<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match self {
            Self::Tcp(listener) => carry_tcp(listener, open).await,
            Self::Udp(socket) => carry_udp(socket, open).await,
        }
    }
}
