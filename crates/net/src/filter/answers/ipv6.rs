//! What the relay has for the guest from a peer of IPv6, as frames.

use std::net::Ipv6Addr;

use super::{PORT, quoted, unsummed};
use crate::addresses::{GATEWAY_V6, GUEST_V6};
use crate::channel::{Flow, Kind, What};
use crate::packet::ipv6::{ICMP, frames, header, summed};
use crate::packet::{Ends, UDP};
use crate::relay::socket::{NETWORK, PROHIBITED};

const UNREACHABLE: u8 = 1;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
/// As the guest's own packets begin.
const HOP_LIMIT: u8 = 64;

/// The frames that bring a message of the relay's to the guest; none where no frame could.
pub(super) fn frames_of(
    ends: Ends,
    identification: u16,
    (flow, peer): (&Flow, Ipv6Addr),
    what: What,
    payload: &[u8],
) -> Vec<u8> {
    let frames = |from, protocol, packet: Option<Vec<u8>>, at| {
        packet.map_or_else(Vec::new, |packet| {
            let packet = summed(from, GUEST_V6, protocol, packet, at);
            frames(ends, from, protocol, identification, &packet)
        })
    };
    match (what, flow.kind) {
        (What::Data, Kind::Datagram) => frames(peer, UDP, unsummed(flow, payload), 6),
        (What::Data, Kind::Echo) => {
            let [high, low] = flow.guest.to_be_bytes();
            let message = [&[ECHO_REPLY, 0, 0, 0, high, low], payload].concat();
            frames(peer, ICMP, Some(message), 2)
        }
        // The guest's resolver is of IPv4, and other connections are passt's.
        (What::Data, Kind::Segment) => Vec::new(),
        (What::Unreachable(code), _) => {
            let from = if code == PORT { peer } else { GATEWAY_V6 };
            frames(from, ICMP, unreachable(flow, peer, code, payload), 2)
        }
    }
}

fn unreachable(flow: &Flow, peer: Ipv6Addr, code: u8, sent: &[u8]) -> Option<Vec<u8>> {
    let quoted = quoted(flow, ECHO_REQUEST, sent)?;
    let protocol = if flow.kind == Kind::Echo { ICMP } else { UDP };
    let header = header(GUEST_V6, peer, protocol, HOP_LIMIT, quoted.len())?;
    let head = [UNREACHABLE, code_of(code), 0, 0, 0, 0, 0, 0];
    Some([&head[..], &header, &quoted].concat())
}

/// The code that says of IPv6 (RFC 4443, 3.1) what another says of IPv4.
fn code_of(code: u8) -> u8 {
    match code {
        NETWORK => 0,
        PROHIBITED => 1,
        PORT => 4,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::ipv6::Packet;
    use crate::packet::{ETHERNET, PREFIX};

    const PEER: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 9);

    fn flow(kind: Kind) -> Flow {
        Flow {
            kind,
            guest: 20_001,
            peer: PEER.into(),
            port: if kind == Kind::Echo { 0 } else { 443 },
        }
    }

    fn frame(kind: Kind, what: What, payload: &[u8]) -> Vec<u8> {
        let frame = super::super::frames_of(Ends::default(), 7, &flow(kind), what, payload);
        assert_eq!(frame[..PREFIX], (frame.len() as u32 - 4).to_be_bytes());
        frame[PREFIX..].to_vec()
    }

    #[test]
    fn an_error_quotes_what_it_is_about() {
        for (code, from, expected) in [
            (3, PEER, 4),
            (0, GATEWAY_V6, 0),
            (1, GATEWAY_V6, 3),
            (13, GATEWAY_V6, 1),
        ] {
            for (kind, protocol, begins) in [
                (Kind::Datagram, UDP, [0x4e, 0x21, 1, 0xbb, 0, 8, 0, 0]),
                (Kind::Echo, ICMP, [128, 0, 0, 0, 0x4e, 0x21, 7, 8]),
            ] {
                let frame = frame(kind, What::Unreachable(code), &[7, 8]);
                let packet = Packet::parse(&frame).unwrap();
                assert_eq!((packet.from, packet.to, packet.protocol), (from, GUEST_V6, ICMP));
                assert!(packet.is_sound());
                assert_eq!(packet.payload()[..2], [1, expected]);
                let quoted = [&[0; ETHERNET], &packet.payload()[8..]].concat();
                let quoted = Packet::parse(&quoted).unwrap();
                assert_eq!(
                    (quoted.from, quoted.to, quoted.protocol),
                    (GUEST_V6, PEER, protocol)
                );
                assert_eq!(quoted.payload(), begins);
            }
        }
    }

    #[test]
    fn no_connection_of_ipv6_is_the_relays() {
        for what in [What::Data, What::Unreachable(3)] {
            let flow = flow(Kind::Segment);
            assert!(super::super::frames_of(Ends::default(), 7, &flow, what, &[0; 20]).is_empty());
        }
    }

    proptest! {
        #[test]
        fn answers_are_sound(payload in prop::collection::vec(any::<u8>(), 2..3000)) {
            let datagram = frame(Kind::Datagram, What::Data, &payload);
            let packet = Packet::parse(&datagram).unwrap();
            prop_assert!(packet.is_sound() && packet.protocol == UDP && packet.from == PEER);
            let length = packet.payload().len() as u16;
            prop_assert_eq!(&packet.payload()[..4], &[1, 0xbb, 0x4e, 0x21]);
            prop_assert_eq!(&packet.payload()[4..6], &length.to_be_bytes());
            prop_assert_eq!(&packet.payload()[8..], &payload);

            let reply = frame(Kind::Echo, What::Data, &payload);
            let packet = Packet::parse(&reply).unwrap();
            prop_assert!(packet.is_sound() && packet.protocol == ICMP);
            prop_assert_eq!(&packet.payload()[..2], &[129, 0]);
            prop_assert_eq!(&packet.payload()[4..6], &[0x4e, 0x21]);
            prop_assert_eq!(&packet.payload()[6..], &payload);
        }
    }
}
