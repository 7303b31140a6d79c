//! Which way a guest's frame of IPv6 goes.

use super::{Way, echo_of, flow_of};
use crate::addresses::GUEST_V6;
use crate::filter::neighbours::asks_for_the_gateway;
use crate::packet::ipv6::{ICMP, Packet};
use crate::packet::{TCP, UDP};
use crate::policy::{Policy, Verdict};

const ECHO_REQUEST: [u8; 2] = [128, 0];

/// Judges one that the card's header says is one. Fragments and whatever else begins with an extension header go nowhere: what
/// they carry is seen by who puts them together, and nothing here does.
pub(super) fn way<'a>(policy: &Policy, frame: &'a [u8]) -> Way<'a> {
    let packet =
        Packet::parse(frame).filter(|packet| policy.ipv6 && [TCP, UDP, ICMP].contains(&packet.protocol));
    let Some(packet) = packet else {
        return Way::Dropped;
    };
    if asks_for_the_gateway(&packet) {
        return Way::Asks;
    }
    if packet.from != GUEST_V6 {
        return Way::Dropped;
    }
    let to = packet.to.into();
    let verdict = policy.judge(to);
    if verdict != Verdict::Pass {
        return verdict.into();
    }
    let relayed = match packet.protocol {
        TCP => return Way::Passt,
        // One that is not to leave its network does not.
        _ if packet.hop_limit < 2 || !packet.is_sound() => None,
        UDP => datagram(&packet).and_then(|datagram| flow_of(to, datagram)),
        _ => echo_of(to, ECHO_REQUEST, packet.payload()),
    };
    relayed.map_or(Way::Dropped, |(flow, payload)| Way::Relay(flow, payload))
}

/// A datagram that is as long as its packet and has a checksum, as each has to (RFC 8200, 8.1).
fn datagram<'a>(packet: &Packet<'a>) -> Option<&'a [u8]> {
    let &[.., a, b, c, d] = packet.payload().first_chunk::<8>()?;
    let is_whole = usize::from(u16::from_be_bytes([a, b])) == packet.payload().len();
    (is_whole && [c, d] != [0; 2]).then(|| packet.payload())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::super::way as way_of;
    use super::*;
    use crate::channel::{Flow, Kind};
    use crate::packet::ipv6::tests::{frame_from, frame_to};

    const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 1);

    fn on() -> Policy {
        Policy {
            ipv6: true,
            ..Policy::default()
        }
    }

    fn judge(frame: &[u8]) -> Way<'_> {
        way_of(&ON, frame)
    }

    const ON: Policy = Policy {
        ipv6: true,
        closed: Vec::new(),
        open: Vec::new(),
        shut: Vec::new(),
    };

    fn datagram_to(to: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
        let length = 8 + payload.len() as u16;
        let datagram = [&[0x4e, 0x20, 0, 53][..], &length.to_be_bytes(), &[0, 0], payload].concat();
        frame_from(GUEST_V6, to, UDP, 64, &datagram, 6)
    }

    fn icmp_to(to: Ipv6Addr, kind: u8) -> Vec<u8> {
        let message = [kind, 0, 0, 0, 0x12, 0x34, 0, 1, b'd', b'a', b't', b'a'];
        frame_from(GUEST_V6, to, ICMP, 64, &message, 2)
    }

    #[test]
    fn nothing_passes_unless_ipv6_is_on() {
        let open = Policy {
            ipv6: false,
            open: vec!["::/0".parse().unwrap()],
            ..on()
        };
        for policy in [Policy::default(), open] {
            for frame in [
                frame_to(OUTSIDE, TCP, 80),
                datagram_to(OUTSIDE, b"how"),
                icmp_to(OUTSIDE, 128),
                icmp_to(OUTSIDE, 135),
                frame_to(Ipv6Addr::LOCALHOST, TCP, 80),
            ] {
                assert_eq!(way_of(&policy, &frame), Way::Dropped);
                assert_ne!(way_of(&on(), &icmp_to(OUTSIDE, 128)), Way::Dropped);
            }
        }
    }

    #[test]
    fn connections_go_to_passt_datagrams_and_echoes_to_the_relay() {
        assert_eq!(judge(&frame_to(OUTSIDE, TCP, 80)), Way::Passt);
        let flow = Flow {
            kind: Kind::Datagram,
            guest: 20_000,
            peer: OUTSIDE.into(),
            port: 53,
        };
        assert_eq!(judge(&datagram_to(OUTSIDE, b"how")), Way::Relay(flow, b"how"));
        assert_eq!(judge(&datagram_to(OUTSIDE, b"")), Way::Relay(flow, b""));
        let flow = Flow {
            kind: Kind::Echo,
            guest: 0x1234,
            port: 0,
            ..flow
        };
        assert_eq!(judge(&icmp_to(OUTSIDE, 128)), Way::Relay(flow, b"\0\x01data"));
        // Errors, groups, routers, neighbours, redirects: it would be another's to take these for true.
        for kind in [1, 2, 3, 4, 129, 130, 131, 133, 134, 135, 136, 137, 143] {
            assert_eq!(judge(&icmp_to(OUTSIDE, kind)), Way::Dropped, "{kind}");
        }
    }

    #[test]
    fn fragments_and_extension_headers_go_nowhere() {
        // Hop by hop, routing, fragment, security, authentication, nothing, destination, mobility, and what carries others.
        for protocol in [
            0, 43, 44, 50, 51, 59, 60, 135, 139, 140, 253, 254, 4, 41, 47, 1, 132, 136,
        ] {
            for to in [OUTSIDE, Ipv6Addr::LOCALHOST] {
                let frame = frame_to(to, protocol, 80);
                assert_eq!(judge(&frame), Way::Dropped, "{protocol} to {to}");
            }
        }
    }

    #[test]
    fn what_is_closed_is_refused_whatever_carries_it() {
        for to in [
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fe80::1",
            "fd00::1",
            "fd62:616e:6765:72::2",
            "fd62:616e:6765:72::15",
        ] {
            let to = to.parse().unwrap();
            for frame in [frame_to(to, TCP, 80), datagram_to(to, b""), icmp_to(to, 128)] {
                assert_eq!(judge(&frame), Way::Refused, "{to}");
            }
        }
        assert_eq!(
            judge(&datagram_to("ff02::fb".parse().unwrap(), b"")),
            Way::Dropped
        );
    }

    #[test]
    fn only_the_guests_own_address_sends() {
        for from in [
            "::",
            "::1",
            "fe80::5054:ff:fe01:203",
            "fd62:616e:6765:72::16",
            "2600::2",
            "ff02::1",
        ] {
            let frame = frame_from(from.parse().unwrap(), OUTSIDE, TCP, 64, &[0; 20], 16);
            assert_eq!(judge(&frame), Way::Dropped, "{from}");
        }
    }

    #[test]
    fn what_is_not_sound_goes_nowhere() {
        let good = datagram_to(OUTSIDE, b"how do you do");
        for at in 14..good.len() {
            // But for what nothing looks at.
            if !(14..18).contains(&at) && at != 21 {
                let mut bad = good.clone();
                bad[at] ^= 0xff;
                assert_eq!(judge(&bad), Way::Dropped, "byte {at}");
            }
        }
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut payload = [&[0x4e, 0x20, 0, 53, 0, 12, 0, 0][..], b"how?"].concat();
            change(&mut payload);
            frame_from(GUEST_V6, OUTSIDE, UDP, 64, &payload, 6)
        };
        assert!(matches!(judge(&with(&|_| {})), Way::Relay(..)));
        // Ports of zero; shorter and longer than it says; too short.
        for bad in [
            with(&|payload| payload[..2].fill(0)),
            with(&|payload| payload[2..4].fill(0)),
            with(&|payload| payload[5] = 11),
            with(&|payload| payload[5] = 13),
            with(&|payload| payload[5] = 7),
        ] {
            assert_eq!(judge(&bad), Way::Dropped);
        }
        let mut without_sum = good.clone();
        without_sum[60..62].fill(0);
        assert_eq!(judge(&without_sum), Way::Dropped);
        let mut last_hop = good;
        last_hop[21] = 1;
        assert_eq!(judge(&last_hop), Way::Dropped);
        let mut echo = icmp_to(OUTSIDE, 128);
        echo[60] ^= 1;
        assert_eq!(judge(&echo), Way::Dropped);
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic_and_none_that_passes_is_for_what_is_closed(
            from_guest: bool, start: [u8; 38], place in 0..8_usize, protocol: u8, rest: Vec<u8>,
        ) {
            let mut frame = [&start[..], &[0; 16], &rest].concat();
            let to: [u16; 8] = [
                [0, 0, 0, 0, 0, 0, 0, 1],
                [0, 0, 0, 0, 0, 0xffff, 0x7f00, 1],
                [0x64, 0xff9b, 0, 0, 0, 0, 0xa00, 1],
                [0xfe80, 0, 0, 0, 0, 0, 0, 1],
                [0xfd00, 0, 0, 0, 0, 0, 0, 1],
                [0x2002, 0xa00, 1, 0, 0, 0, 0, 1],
                [0xff02, 0, 0, 0, 0, 0, 0, 1],
                [0x2600, 0, 0, 0, 0, 0, 0, 1],
            ][place];
            frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
            frame[18..20].copy_from_slice(&(rest.len() as u16).to_be_bytes());
            frame[20] = if protocol & 1 == 0 { [TCP, UDP, ICMP][usize::from(protocol) / 2 % 3] } else { protocol };
            if from_guest {
                frame[22..38].copy_from_slice(&GUEST_V6.octets());
            }
            frame[38..54].copy_from_slice(&Ipv6Addr::from(to).octets());
            let passes = matches!(judge(&frame), Way::Passt | Way::Relay(..));
            prop_assert!(!passes || (place == 7 && from_guest));
            prop_assert!(from_guest || !passes);
        }
    }
}
