//! Tells a guest at once that something may not be reached, so that it need not wait for an answer in vain.

use crate::addresses::{GATEWAY, GATEWAY_V6, GUEST_V6};
use crate::packet::ipv6::{self, ETHERTYPE as IPV6};
use crate::packet::{ETHERNET, Ends, ICMP, Packet, checksum, frames};

const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
/// "Destination unreachable", "communication administratively prohibited" (RFC 1812, 5.2.7.1).
const PROHIBITED: [u8; 2] = [3, 13];
/// The same of IPv6 (RFC 4443, 3.1).
const PROHIBITED_V6: [u8; 2] = [1, 1];
const ICMP_HEADER: usize = 8;
/// What is quoted at most of a packet of IPv6: no link takes less than 1280 bytes, with the headers before (RFC 4443, 3.1).
const QUOTED_V6: usize = 1280 - 40 - ICMP_HEADER;

/// The frame that answers `frame`, with its length before it; `None` where no answer is due: errors are never
/// answered with errors, and fragments only by their first (RFC 1122, 3.2.2).
pub(super) fn refusal_of(frame: &[u8]) -> Option<Vec<u8>> {
    if frame.get(12..ETHERNET)? == IPV6 {
        return refusal_of_v6(frame);
    }
    let packet = Packet::parse(frame)?;
    let is_error = packet.protocol == ICMP && packet.payload().first() != Some(&ECHO_REQUEST);
    if is_error || !packet.is_first {
        return None;
    }
    let mut message = [&PROHIBITED[..], &[0; ICMP_HEADER - 2], packet.quotation()].concat();
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum);
    Some(frames(Ends::of(frame)?, GATEWAY, ICMP, 0, &message))
}

/// Here a fragment is never refused: it is dropped before.
fn refusal_of_v6(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = ipv6::Packet::parse(frame)?;
    if packet.protocol == ipv6::ICMP && packet.payload().first() != Some(&ECHO_REQUEST_V6) {
        return None;
    }
    let quoted = packet.quotation(QUOTED_V6);
    let message = [&PROHIBITED_V6[..], &[0; ICMP_HEADER - 2], quoted].concat();
    let message = ipv6::summed(GATEWAY_V6, GUEST_V6, ipv6::ICMP, message, 2);
    Some(ipv6::frames(
        Ends::of(frame)?,
        GATEWAY_V6,
        ipv6::ICMP,
        0,
        &message,
    ))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::packet::TCP;
    use crate::packet::ipv6::tests::frame_from;
    use crate::packet::tests::frame_to;

    #[test]
    fn a_refusal_quotes_what_it_refuses() {
        let refused = frame_to([127, 0, 0, 1].into(), TCP, 80);
        let answer = refusal_of(&refused).unwrap();
        assert_eq!(answer.len(), 4 + 14 + 20 + 8 + 28);
        assert_eq!(answer[..4], [0, 0, 0, 70]);
        assert_eq!(answer[4..16], [[1; 6], [2; 6]].concat());
        assert_eq!(answer[38..40], PROHIBITED);
        assert_eq!(answer[46..], refused[14..]);
        // A right checksum makes the sum of what it covers all ones.
        assert_eq!(
            (checksum(&[&answer[18..38]]), checksum(&[&answer[38..]])),
            ([0; 2], [0; 2])
        );
    }

    #[test]
    fn a_refusal_of_ipv6_quotes_what_it_refuses_and_fits_every_link() {
        for length in [8, 20, 3000] {
            let refused = frame_from(GUEST_V6, Ipv6Addr::LOCALHOST, TCP, 64, &vec![7; length], 6);
            let answer = refusal_of(&refused).unwrap();
            assert_eq!(answer[4..16], [[1; 6], [2; 6]].concat());
            let packet = ipv6::Packet::parse(&answer[4..]).unwrap();
            assert_eq!((packet.from, packet.to), (GATEWAY_V6, GUEST_V6));
            assert!(packet.is_sound() && packet.protocol == ipv6::ICMP);
            assert_eq!(
                packet.payload()[..8],
                [1, 1, packet.payload()[2], packet.payload()[3], 0, 0, 0, 0]
            );
            let quoted = &packet.payload()[8..];
            assert_eq!(*quoted, refused[14..][..quoted.len()]);
            assert_eq!(quoted.len(), (40 + length).min(1232));
        }
        for (kind, is_answered) in [(128, true), (129, false), (1, false), (4, false), (135, false)] {
            let message = [kind, 0, 0, 0, 0, 0, 0, 0];
            let refused = frame_from(GUEST_V6, Ipv6Addr::LOCALHOST, ipv6::ICMP, 64, &message, 2);
            assert_eq!(refusal_of(&refused).is_some(), is_answered, "{kind}");
        }
    }

    #[test]
    fn errors_and_later_fragments_are_not_answered() {
        let mut fragment = frame_to([127, 0, 0, 1].into(), TCP, 80);
        fragment[21] = 1;
        assert_eq!(refusal_of(&fragment), None);
        let mut icmp = frame_to([127, 0, 0, 1].into(), ICMP, 80);
        icmp[34] = 3;
        assert_eq!(refusal_of(&icmp), None);
        icmp[34] = ECHO_REQUEST;
        assert!(refusal_of(&icmp).is_some());
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(start: [u8; 14], rest: Vec<u8>) {
            let _ = refusal_of(&[&start[..], &rest].concat());
            let _ = refusal_of(&[&start[..], &[0x45; 1], &rest].concat());
            let _ = refusal_of(&[&start[..12], &IPV6, &[0x60; 1], &rest].concat());
        }
    }
}
