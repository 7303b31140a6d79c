//! Answers the guest's search for the gateway's hardware address over IPv6 (RFC 4861), as ARP is answered by passt. Nothing else
//! of that protocol goes anywhere: there is no router to be found and no neighbour.

use std::net::Ipv6Addr;

use crate::addresses::{GATEWAY_MAC, GATEWAY_V6, GUEST_V6};
use crate::packet::Ends;
use crate::packet::ipv6::{ICMP, Packet, frame, header, summed};

const SOLICITATION: [u8; 2] = [135, 0];
const ADVERTISEMENT: u8 = 136;
/// It is a router, it was asked, and what was known before holds no more.
const FLAGS: u8 = 0xe0;
/// "Target link-layer address", of one unit of 8 bytes.
const ITS_ADDRESS: [u8; 2] = [2, 1];
/// Less says that it has come through a router.
const HOP_LIMIT: u8 = 255;
/// Up to the options: kind, code, checksum, nothing, target.
const LENGTH: usize = 24;

/// Whether a packet is such a question, by the rules for it (7.1.1).
pub(super) fn asks_for_the_gateway(packet: &Packet<'_>) -> bool {
    // One without an address of its own looks for who has the one that it wants: it gets no answer.
    let is_asker = packet.from == GUEST_V6 || packet.from.is_unicast_link_local();
    packet.protocol == ICMP
        && packet.hop_limit == HOP_LIMIT
        && is_asker
        && target(packet) == Some(GATEWAY_V6)
        && packet.is_sound()
}

fn target(packet: &Packet<'_>) -> Option<Ipv6Addr> {
    let message = packet.payload().first_chunk::<LENGTH>()?;
    let target: [u8; 16] = message[8..].try_into().ok()?;
    (message[..2] == SOLICITATION).then(|| target.into())
}

/// The frame that answers it, after its length.
pub(super) fn answer_to(asked: &[u8]) -> Option<Vec<u8>> {
    let packet = Packet::parse(asked)?;
    let ends = Ends {
        gateway: GATEWAY_MAC,
        ..Ends::of(asked)?
    };
    let message = [
        &[ADVERTISEMENT, 0, 0, 0, FLAGS, 0, 0, 0][..],
        &GATEWAY_V6.octets(),
        &ITS_ADDRESS,
        &GATEWAY_MAC,
    ]
    .concat();
    let header = header(GATEWAY_V6, packet.from, ICMP, HOP_LIMIT, message.len())?;
    let message = summed(GATEWAY_V6, packet.from, ICMP, message, 2);
    Some(frame(ends, &header, &message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PREFIX;
    use crate::packet::ipv6::tests::frame_from;

    const GROUP: &str = "ff02::1:ff00:2";

    fn question(kind: u8, from: &str, to: &str, target: Ipv6Addr, hop_limit: u8) -> Vec<u8> {
        let message = [
            &[kind, 0, 0, 0, 0, 0, 0, 0][..],
            &target.octets(),
            &[1, 1],
            &[2; 6],
        ]
        .concat();
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        frame_from(from, to, ICMP, hop_limit, &message, 2)
    }

    fn asks(frame: &[u8]) -> bool {
        asks_for_the_gateway(&Packet::parse(frame).unwrap())
    }

    #[test]
    fn the_gateway_is_found_by_who_asks_for_it() {
        let (guest, gateway) = (GUEST_V6.to_string(), GATEWAY_V6.to_string());
        for (from, to) in [
            (guest.as_str(), GROUP),
            ("fe80::5054:ff:fe01:203", GROUP),
            (&guest, &gateway),
        ] {
            let asked = question(135, from, to, GATEWAY_V6, 255);
            assert!(asks(&asked), "{from} {to}");
            let answer = answer_to(&asked).unwrap();
            assert_eq!(answer[..4], [0, 0, 0, 86]);
            assert_eq!(answer[4..16], [[1; 6], GATEWAY_MAC].concat());
            let packet = Packet::parse(&answer[PREFIX..]).unwrap();
            assert!(packet.is_sound() && packet.hop_limit == 255);
            assert_eq!((packet.from, packet.to.to_string().as_str()), (GATEWAY_V6, from));
            assert_eq!(packet.payload()[..2], [136, 0]);
            assert_eq!(packet.payload()[8..24], GATEWAY_V6.octets());
            assert_eq!(packet.payload()[24..], [&[2, 1][..], &GATEWAY_MAC].concat());
        }
    }

    #[test]
    fn no_other_question_is_answered() {
        let guest = GUEST_V6.to_string();
        for (kind, from, target, hop_limit) in [
            (135, guest.as_str(), GATEWAY_V6, 254),
            (135, "::", GATEWAY_V6, 255),
            (135, "2600::1", GATEWAY_V6, 255),
            (135, &guest, GUEST_V6, 255),
            (135, &guest, "fd62:616e:6765:72::3".parse().unwrap(), 255),
            (133, &guest, GATEWAY_V6, 255),
            (136, &guest, GATEWAY_V6, 255),
        ] {
            assert!(
                !asks(&question(kind, from, GROUP, target, hop_limit)),
                "{kind} {from} {target}"
            );
        }
        let mut bad = question(135, &guest, GROUP, GATEWAY_V6, 255);
        bad[56] ^= 1;
        assert!(!asks(&bad));
        let short = frame_from(GUEST_V6, GATEWAY_V6, ICMP, 255, &[135, 0, 0, 0, 0, 0, 0, 0], 2);
        assert!(!asks(&short));
    }
}
