//! A port of the host that is bound, whatever it speaks.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UdpSocket};

use super::{Protocol, VmSlots, carry_tcp, carry_udp};

/// How many connections wait at most until they are taken.
const WAITING: i32 = 1024;

/// A bound port; dropping it releases it.
#[derive(Debug)]
pub enum Bound {
    /// One that connections come to.
    Tcp(TcpListener),
    /// One that datagrams come to.
    Udp(UdpSocket),
}

impl Bound {
    /// Binds an endpoint; port 0 is any that is free. `[::]` stands for all IPv6 addresses, and for no IPv4 one.
    ///
    /// # Errors
    /// The system's reason.
    pub fn bind(protocol: Protocol, endpoint: SocketAddr) -> io::Result<Self> {
        match protocol {
            Protocol::Tcp => {
                let socket = socket(SocketType::STREAM, endpoint)?;
                // One that was just given up can be had again.
                sockopt::set_socket_reuseaddr(&socket, true)?;
                net::bind(&socket, &endpoint)?;
                net::listen(&socket, WAITING)?;
                TcpListener::from_std(socket.into()).map(Self::Tcp)
            }
            Protocol::Udp => {
                let socket = socket(SocketType::DGRAM, endpoint)?;
                net::bind(&socket, &endpoint)?;
                UdpSocket::from_std(socket.into()).map(Self::Udp)
            }
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

    /// Carries what comes over streams that `open` gives, one slot each. Never ends; dropped, it releases the port and
    /// cuts off what it carried.
    pub async fn carry<F, O, S>(self, slots: VmSlots, open: F)
    where
        F: Fn() -> O,
        O: Future<Output = Option<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match self {
            Self::Tcp(listener) => carry_tcp(listener, slots, open).await,
            Self::Udp(socket) => carry_udp(socket, slots, open).await,
        }
    }
}

/// A socket for an endpoint.
fn socket(kind: SocketType, endpoint: SocketAddr) -> io::Result<OwnedFd> {
    let family = match endpoint {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, kind, flags, None)?;
    if endpoint.is_ipv6() {
        // Else `[::]` would be all IPv4 addresses as well.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_addresses_of_ipv6_are_none_of_ipv4() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let bound = Bound::bind(protocol, "[::]:0".parse().unwrap()).unwrap();
            let port = bound.endpoint().unwrap().port();
            for address in ["127.0.0.1", "0.0.0.0"] {
                let endpoint = format!("{address}:{port}").parse().unwrap();
                let other = Bound::bind(protocol, endpoint);
                assert_eq!(other.unwrap().endpoint().unwrap(), endpoint, "{protocol:?}");
            }
            let taken = Bound::bind(protocol, format!("[::1]:{port}").parse().unwrap());
            assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
    }
}
