//! What the frame filter and the relay say to each other: each message is one packet of a socket between them.
//!
//! ```text
//!  what  kind  guest's port  peer     peer's port  payload
//!  1     1     2             16       2            up to the largest datagram
//! ```
//!
//! A peer of IPv4 is written as IPv6 maps it (RFC 4291, 2.5.5.2), so that no peer of IPv6 can be such a one.
//!
//! Neither trusts the other: a message that is none is an error, and the relay holds the policy once more.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

/// Length of what stands before the payload.
pub(crate) const HEAD: usize = 22;
/// No message is longer: the longest packet, and what stands before it.
pub(crate) const LONGEST: usize = HEAD + 65_535;
/// What may be under way, in bytes as the kernel counts them; as much as any process may ask for by default. Answers come in
/// bursts, and the relay waits for nothing.
const UNDER_WAY: usize = 212_992;
/// The relay's first message: from now on it relays.
const READY: &[u8] = b"ready";

/// What a guest sends that passt does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A UDP datagram; the payload is its own.
    Datagram,
    /// An ICMP echo; the payload is its sequence number and its data.
    Echo,
    /// A TCP segment, header and all: between the guest and its resolver only.
    Segment,
}

/// One conversation: a guest's port and its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    pub(crate) kind: Kind,
    /// The guest's port, or the number that its echoes carry.
    pub(crate) guest: u16,
    /// Whom the guest speaks with.
    pub(crate) peer: IpAddr,
    /// The peer's port; 0 for echoes.
    pub(crate) port: u16,
}

/// What is said of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The payload is what is sent.
    Data,
    /// What was sent did not arrive, for the reason with this code (ICMP, "destination unreachable").
    Unreachable(u8),
}

/// Writes what stands before a payload.
pub(crate) fn head(flow: &Flow, what: What) -> [u8; HEAD] {
    let what = match what {
        What::Data => 0,
        What::Unreachable(code) => 0x80 | code,
    };
    let kind = match flow.kind {
        Kind::Datagram => 0,
        Kind::Echo => 1,
        Kind::Segment => 2,
    };
    let peer = match flow.peer {
        IpAddr::V4(peer) => peer.to_ipv6_mapped(),
        IpAddr::V6(peer) => peer,
    };
    let mut head = [0; HEAD];
    head[..2].copy_from_slice(&[what, kind]);
    head[2..4].copy_from_slice(&flow.guest.to_be_bytes());
    head[4..20].copy_from_slice(&peer.octets());
    head[20..].copy_from_slice(&flow.port.to_be_bytes());
    head
}

/// Reads a message.
pub(crate) fn parse(message: &[u8]) -> Option<(Flow, What, &[u8])> {
    let (&[what, kind, a, b, peer @ .., c, d], payload) = message.split_first_chunk::<HEAD>()?;
    let peer: [u8; 16] = peer;
    let what = match what {
        0 => What::Data,
        code if code & 0x80 != 0 => What::Unreachable(code & 0x7f),
        _ => return None,
    };
    let kind = match kind {
        0 => Kind::Datagram,
        1 => Kind::Echo,
        2 => Kind::Segment,
        _ => return None,
    };
    let flow = Flow {
        kind,
        guest: u16::from_be_bytes([a, b]),
        peer: Ipv6Addr::from(peer).to_canonical(),
        port: u16::from_be_bytes([c, d]),
    };
    Some((flow, what, payload))
}

/// Both ends of a new one.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = SocketType::SEQPACKET;
    let (one, other) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    for end in [&one, &other] {
        set_socket_send_buffer_size(end, UNDER_WAY)?;
    }
    Ok((one, other))
}

/// Says that it is ready.
pub(crate) fn say_ready(channel: impl AsFd) -> io::Result<()> {
    send(channel, READY, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits until the other end is ready. `false`: it has ended.
pub(crate) fn wait_until_ready(channel: impl AsFd) -> io::Result<bool> {
    let mut said = [0; READY.len() + 1];
    match receive(channel, &mut said, RecvFlags::empty())? {
        Some(READY) => Ok(true),
        Some([]) => Ok(false),
        _ => Err(io::Error::other(
            "the relay says something else than that it is ready",
        )),
    }
}

/// The next message: empty where the other end is closed, `None` where nothing is there and `flags` are not to wait.
pub(crate) fn receive(channel: impl AsFd, into: &mut [u8], flags: RecvFlags) -> io::Result<Option<&[u8]>> {
    loop {
        match recv(&channel, &mut *into, flags) {
            Ok((length, _)) => return Ok(Some(&into[..length])),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            // What the other end has not read when it ends is lost with it.
            Err(Errno::CONNRESET) => return Ok(Some(&[])),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(guest: u16, v4: u32, v6: u128, is_v6: bool, port: u16, kind in 0..3_usize, code in prop::option::of(0..128_u8), payload: Vec<u8>) {
            let kind = [Kind::Datagram, Kind::Echo, Kind::Segment][kind];
            let peer = if is_v6 { Ipv6Addr::from(v6).to_canonical() } else { std::net::Ipv4Addr::from(v4).into() };
            let flow = Flow { kind, guest, peer, port };
            let what = code.map_or(What::Data, What::Unreachable);
            let message = [&head(&flow, what)[..], &payload].concat();
            prop_assert_eq!(parse(&message), Some((flow, what, &payload[..])));
        }

        #[test]
        fn no_message_makes_it_panic(message: Vec<u8>) {
            let _ = parse(&message);
        }
    }

    #[test]
    fn what_is_no_message_is_none() {
        let with = |at: usize, value: u8| {
            let mut message = [0; HEAD];
            message[at] = value;
            message
        };
        assert!(parse(&with(1, 2)).is_some());
        for bad in [&[0; HEAD - 1][..], &with(0, 1), &with(1, 3), b""] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_peer_of_ipv4_is_one_however_it_is_written() {
        let mut message = [0; HEAD];
        message[14..20].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
        let (flow, ..) = parse(&message).unwrap();
        assert_eq!(flow.peer, IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn an_end_that_closes_is_seen_and_one_that_says_something_else_is_an_error() {
        let (relay, filter) = pair().unwrap();
        say_ready(&relay).unwrap();
        assert!(wait_until_ready(&filter).unwrap());
        send(&relay, b"well", SendFlags::NOSIGNAL).unwrap();
        assert!(wait_until_ready(&filter).is_err());
        drop(relay);
        assert!(!wait_until_ready(&filter).unwrap());
    }
}
