//! What the relay has for the guest, as frames.

mod ipv6;

use std::net::{IpAddr, Ipv4Addr};

use crate::addresses::{GATEWAY, GUEST};
use crate::channel::{Flow, Kind, What};
use crate::packet::{Ends, ICMP, TCP, UDP, checksum, frames, header, pseudo_header};

const UNREACHABLE: u8 = 3;
/// Of the codes of "unreachable", the one that the peer itself says.
const PORT: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const UDP_HEADER: usize = 8;

/// The frames that bring a message of the relay's to the guest; none where no frame could.
pub(crate) fn frames_of(ends: Ends, identification: u16, flow: &Flow, what: What, payload: &[u8]) -> Vec<u8> {
    let peer = match flow.peer {
        IpAddr::V4(peer) => peer,
        IpAddr::V6(peer) => return ipv6::frames_of(ends, identification, (flow, peer), what, payload),
    };
    let frames = |from, protocol, packet: Option<Vec<u8>>| {
        packet.map_or_else(Vec::new, |packet| {
            frames(ends, from, protocol, identification, &packet)
        })
    };
    match (what, flow.kind) {
        (What::Data, Kind::Datagram) => frames(peer, UDP, datagram(flow, peer, payload)),
        (What::Data, Kind::Echo) => {
            let [high, low] = flow.guest.to_be_bytes();
            let message = [&[0, 0, 0, 0, high, low], payload].concat();
            frames(peer, ICMP, Some(summed(message, 2)))
        }
        (What::Data, Kind::Segment) => frames(peer, TCP, Some(payload.to_vec())),
        (What::Unreachable(code), _) => {
            let from = if code == PORT { peer } else { GATEWAY };
            frames(from, ICMP, unreachable(flow, peer, code, payload))
        }
    }
}

fn datagram(flow: &Flow, peer: Ipv4Addr, payload: &[u8]) -> Option<Vec<u8>> {
    let mut datagram = unsummed(flow, payload)?;
    // It is that of the datagram.
    let length = datagram.len() as u16;
    let sum = match checksum(&[&pseudo_header(peer, GUEST, UDP, length), &datagram]) {
        // Zero says that there is none.
        [0, 0] => [0xff; 2],
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum);
    Some(datagram)
}

/// A datagram to the guest without its checksum.
fn unsummed(flow: &Flow, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    let mut datagram = Vec::with_capacity(length.into());
    for field in [flow.port, flow.guest, length, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend(payload);
    Some(datagram)
}

/// What was sent, as far as a guest looks at it, is quoted: the header, and these 8 bytes after it.
fn quoted(flow: &Flow, echo_request: u8, sent: &[u8]) -> Option<[u8; 8]> {
    let [a, b] = flow.guest.to_be_bytes();
    let [c, d] = flow.port.to_be_bytes();
    match flow.kind {
        Kind::Datagram => Some([a, b, c, d, 0, 8, 0, 0]),
        Kind::Echo => {
            let [high, low] = sent.first_chunk().copied().unwrap_or_default();
            Some([echo_request, 0, 0, 0, a, b, high, low])
        }
        // A connection says itself what becomes of it.
        Kind::Segment => None,
    }
}

fn unreachable(flow: &Flow, peer: Ipv4Addr, code: u8, sent: &[u8]) -> Option<Vec<u8>> {
    let quoted = quoted(flow, ECHO_REQUEST, sent)?;
    let protocol = if flow.kind == Kind::Echo { ICMP } else { UDP };
    let header = header(GUEST, peer, protocol, quoted.len(), 0, 0)?;
    let message = [&[UNREACHABLE, code, 0, 0, 0, 0, 0, 0][..], &header, &quoted].concat();
    Some(summed(message, 2))
}

/// An ICMP message with its checksum.
fn summed(mut message: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = checksum(&[&message]);
    message[at..at + 2].copy_from_slice(&sum);
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::{ETHERNET, PREFIX, Packet};

    const PEER: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);
    const FLOW: Flow = Flow {
        kind: Kind::Datagram,
        guest: 20_001,
        peer: IpAddr::V4(PEER),
        port: 443,
    };

    fn frame(flow: &Flow, what: What, payload: &[u8]) -> Vec<u8> {
        let frame = frames_of(Ends::default(), 7, flow, what, payload);
        assert_eq!(frame[..PREFIX], (frame.len() as u32 - 4).to_be_bytes());
        frame[PREFIX..].to_vec()
    }

    #[test]
    fn an_error_quotes_what_it_is_about() {
        for (code, from) in [(3, PEER), (1, GATEWAY), (13, GATEWAY)] {
            let frame = frame(&FLOW, What::Unreachable(code), &[]);
            let packet = Packet::parse(&frame).unwrap();
            assert_eq!((packet.from, packet.to, packet.protocol), (from, GUEST, ICMP));
            assert_eq!(packet.payload()[..2], [3, code]);
            assert_eq!(checksum(&[packet.payload()]), [0; 2]);
            let quoted = [&[0; ETHERNET], &packet.payload()[8..]].concat();
            let quoted = Packet::parse(&quoted).unwrap();
            assert_eq!((quoted.from, quoted.to, quoted.protocol), (GUEST, PEER, UDP));
            assert_eq!(quoted.payload()[..4], [0x4e, 0x21, 1, 0xbb]);
        }
        let echo = Flow {
            kind: Kind::Echo,
            port: 0,
            ..FLOW
        };
        let frame = frame(&echo, What::Unreachable(1), &[7, 8]);
        assert_eq!(frame[frame.len() - 8..], [8, 0, 0, 0, 0x4e, 0x21, 7, 8]);
    }

    proptest! {
        #[test]
        fn answers_are_sound(payload in prop::collection::vec(any::<u8>(), 2..3000)) {
            let datagram = frame(&FLOW, What::Data, &payload);
            let packet = Packet::parse(&datagram).unwrap();
            prop_assert!(packet.is_sound() && packet.protocol == UDP && packet.from == PEER);
            let length = packet.payload().len() as u16;
            let pseudo = pseudo_header(PEER, GUEST, UDP, length);
            prop_assert_eq!(checksum(&[&pseudo, packet.payload()]), [0; 2]);
            prop_assert_eq!(&packet.payload()[..6], &[[1, 0xbb, 0x4e, 0x21], [0; 4]].concat()[..4].iter().copied().chain(length.to_be_bytes()).collect::<Vec<u8>>()[..]);
            prop_assert_eq!(&packet.payload()[8..], &payload);

            let echo = Flow { kind: Kind::Echo, port: 0, ..FLOW };
            let reply = frame(&echo, What::Data, &payload);
            let packet = Packet::parse(&reply).unwrap();
            prop_assert_eq!(checksum(&[packet.payload()]), [0; 2]);
            prop_assert_eq!(&packet.payload()[..2], &[0, 0]);
            prop_assert_eq!(&packet.payload()[4..6], &[0x4e, 0x21]);
            prop_assert_eq!(&packet.payload()[6..], &payload);
        }
    }

    #[test]
    fn what_is_longer_than_a_packet_is_nothing() {
        assert!(frames_of(Ends::default(), 0, &FLOW, What::Data, &[0; 65_535]).is_empty());
        assert!(!frames_of(Ends::default(), 0, &FLOW, What::Data, &[0; 65_507]).is_empty());
        let echo = Flow {
            kind: Kind::Echo,
            ..FLOW
        };
        assert!(frames_of(Ends::default(), 0, &echo, What::Data, &[0; 65_510]).is_empty());
    }
}
