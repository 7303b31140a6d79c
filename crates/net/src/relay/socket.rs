//! The socket that stands for a flow on the host. It is connected, so that the kernel lets in only what its peer sends, and
//! has a port of the kernel's choice.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recvfrom, send,
    socket_with,
};

use crate::channel::Kind;

/// An ICMP header up to the sequence number (RFC 792): kind, code, checksum, number of the sender.
const ECHO_HEAD: usize = 6;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
/// The same of IPv6 (RFC 4443), whose header is the same up to there.
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// Codes of "destination unreachable" (RFC 1122, RFC 1812).
pub(crate) const NETWORK: u8 = 0;
pub(crate) const HOST: u8 = 1;
pub(crate) const PORT: u8 = 3;
pub(crate) const PROHIBITED: u8 = 13;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    kind: Kind,
    peer: SocketAddr,
}

/// What a socket has for the guest.
pub(super) enum Received {
    /// So many bytes, from there on.
    Data { start: usize, end: usize },
    /// Something that the peer has not sent, or that is no answer.
    Strange,
    /// Nothing more.
    Nothing,
    /// What was sent did not arrive.
    Failed(Errno),
}

impl Socket {
    pub(super) fn open(kind: Kind, peer: SocketAddr) -> Result<Self, Errno> {
        let protocol = match kind {
            Kind::Datagram => ipproto::UDP,
            Kind::Echo if peer.is_ipv6() => ipproto::ICMPV6,
            Kind::Echo => ipproto::ICMP,
            // Connections are passt's, and the resolver's end in the relay.
            Kind::Segment => return Err(Errno::PROTONOSUPPORT),
        };
        let family = if peer.is_ipv6() {
            AddressFamily::INET6
        } else {
            AddressFamily::INET
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let descriptor = socket_with(family, SocketType::DGRAM, flags, Some(protocol))?;
        // Never bound before: its port would take what anybody sends until it is connected.
        connect(&descriptor, &peer)?;
        Ok(Self {
            descriptor,
            kind,
            peer,
        })
    }

    /// Sends to the peer.
    pub(super) fn send(&self, payload: &[u8]) -> Result<(), Errno> {
        let message;
        let bytes = match self.kind {
            Kind::Datagram | Kind::Segment => payload,
            Kind::Echo => {
                // The kernel fills in checksum and number.
                let mut head = [0; ECHO_HEAD];
                head[0] = if self.peer.is_ipv6() {
                    ECHO_REQUEST_V6
                } else {
                    ECHO_REQUEST
                };
                message = [&head[..], payload].concat();
                &message
            }
        };
        // An error that waits is of what was sent before, and is taken by this call.
        send(&self.descriptor, bytes, SendFlags::NOSIGNAL).map(drop)
    }

    /// Receives into `buffer`.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Received {
        let (length, _, from) = match recvfrom(&self.descriptor, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Received::Nothing,
            Err(error) => return Received::Failed(error),
        };
        // The kernel's promise, held once more: a socket of echoes is not bound to its peer by it, and what came in the
        // moment between a port and its connection may be of anybody.
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        let is_peers = from.is_some_and(|from| match self.kind {
            Kind::Datagram | Kind::Segment => (from.ip(), from.port()) == (self.peer.ip(), self.peer.port()),
            Kind::Echo => from.ip() == self.peer.ip(),
        });
        let reply = if self.peer.is_ipv6() {
            ECHO_REPLY_V6
        } else {
            ECHO_REPLY
        };
        let start = match self.kind {
            Kind::Datagram | Kind::Segment => 0,
            Kind::Echo
                if buffer[..length]
                    .first_chunk::<8>()
                    .is_some_and(|head| head[..2] == [reply, 0]) =>
            {
                ECHO_HEAD
            }
            Kind::Echo => return Received::Strange,
        };
        if is_peers {
            Received::Data { start, end: length }
        } else {
            Received::Strange
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// What a guest is told of an error, if it is any of its business.
pub(super) fn code(error: Errno) -> Option<u8> {
    Some(match error {
        Errno::CONNREFUSED => PORT,
        Errno::HOSTUNREACH | Errno::HOSTDOWN => HOST,
        Errno::NETUNREACH | Errno::NETDOWN | Errno::ADDRNOTAVAIL => NETWORK,
        // By the host's firewall, or since its users may not ping.
        Errno::PERM | Errno::ACCESS => PROHIBITED,
        _ => return None,
    })
}

/// The peer of a flow on the host.
pub(super) fn peer(kind: Kind, address: IpAddr, port: u16) -> SocketAddr {
    match kind {
        Kind::Datagram | Kind::Segment => SocketAddr::new(address, port),
        Kind::Echo => SocketAddr::new(address, 0),
    }
}
