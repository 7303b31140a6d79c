//! A port of the host that is bound, whatever it speaks.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UdpSocket};

use super::{Protocol, VmSlots, carry_tcp, carry_udp};

/// How many connections wait at most until they are taken.
const WAITING: i32 = 1024;

/// How often any free port is looked for that is free at each of several addresses.
const TRIES: u32 = 32;

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

    /// Binds all of these endpoints, which have one port, and gives that; port 0 is any that is free at all of them. Where
    /// there are several, an address that the host has not is left out as long as it has another.
    ///
    /// # Errors
    /// The endpoint that cannot be bound, with the system's reason. None is bound then.
    pub fn bind_all(
        protocol: Protocol,
        endpoints: &[SocketAddr],
    ) -> Result<(u16, Vec<Self>), (SocketAddr, io::Error)> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match Self::bind_each(protocol, endpoints) {
                // What was free at one address is taken at another.
                Err((endpoint, error))
                    if tries > 0 && error.kind() == io::ErrorKind::AddrInUse && endpoint.port() == 0 => {}
                outcome => return outcome,
            }
        }
    }

    fn bind_each(
        protocol: Protocol,
        endpoints: &[SocketAddr],
    ) -> Result<(u16, Vec<Self>), (SocketAddr, io::Error)> {
        let (mut port, mut bound, mut lacking) = (0, Vec::with_capacity(endpoints.len()), None);
        for endpoint in endpoints {
            let mut wanted = *endpoint;
            if !bound.is_empty() {
                wanted.set_port(port);
            }
            let one = Self::bind(protocol, wanted).and_then(|one| {
                port = one.endpoint()?.port();
                Ok(one)
            });
            match one {
                Ok(one) => bound.push(one),
                Err(error) if endpoints.len() > 1 && is_no_address(&error) => {
                    lacking = Some((*endpoint, error));
                }
                Err(error) => return Err((*endpoint, error)),
            }
        }
        match lacking {
            Some(lacking) if bound.is_empty() => Err(lacking),
            _ => Ok((port, bound)),
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

/// Whether an endpoint cannot be bound since the host has no such address, or nothing of its family at all.
#[must_use]
pub fn is_no_address(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
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
    async fn several_addresses_have_one_port_or_none_is_bound() {
        let both =
            |port: u16| ["127.0.0.1", "::1"].map(|address| SocketAddr::new(address.parse().unwrap(), port));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let (port, bound) = Bound::bind_all(protocol, &both(0)).unwrap();
            let endpoints: Vec<_> = bound.iter().map(|one| one.endpoint().unwrap()).collect();
            assert_eq!(endpoints, both(port));
            drop(bound);
            for taken in both(port) {
                let taken_there = Bound::bind(protocol, taken).unwrap();
                let (at, error) = Bound::bind_all(protocol, &both(port)).unwrap_err();
                assert_eq!((at, error.kind()), (taken, io::ErrorKind::AddrInUse));
                drop(taken_there);
            }
            let bound = Bound::bind_all(protocol, &both(port)).unwrap();
            assert_eq!((bound.0, bound.1.len()), (port, 2));
        }
    }

    #[tokio::test]
    async fn an_address_that_the_host_has_not_is_left_out_beside_one_that_it_has() {
        let [own, none, other]: [SocketAddr; 3] =
            ["127.0.0.1:0", "[2001:db8::1]:0", "192.0.2.1:0"].map(|endpoint| endpoint.parse().unwrap());
        for (endpoints, count) in [
            (&[own, none][..], Some(1)),
            (&[none, own], Some(1)),
            (&[none, other], None),
            (&[none], None),
        ] {
            let bound = Bound::bind_all(Protocol::Tcp, endpoints);
            assert_eq!(
                bound.as_ref().ok().map(|(_, bound)| bound.len()),
                count,
                "{bound:?}"
            );
            assert!(bound.is_ok_and(|(port, _)| port != 0) || count.is_none());
        }
    }

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
