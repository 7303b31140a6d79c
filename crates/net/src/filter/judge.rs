//! Which way a guest's frame goes. What is not known to be harmless goes nowhere.

mod ipv6;

use std::net::IpAddr;

use crate::addresses::{GUEST, MTU, RESOLVER};
use crate::channel::{Flow, Kind};
use crate::packet::ipv6::ETHERTYPE as IPV6;
use crate::packet::{ETHERNET, ICMP, Packet, TCP, UDP, checksum, pseudo_header};
use crate::policy::{Policy, Verdict};

const ARP: [u8; 2] = [8, 6];
const IPV4: [u8; 2] = [8, 0];
/// Length of a UDP header (RFC 768), and of an ICMP echo without its data (RFC 792).
const UDP_HEADER: usize = 8;
const ECHO_HEADER: usize = 8;
const ECHO_REQUEST: [u8; 2] = [8, 0];

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way<'a> {
    /// It goes on to passt.
    Passt,
    /// Its payload goes to the relay.
    Relay(Flow, &'a [u8]),
    /// It asks for the gateway's hardware address, over IPv6.
    Asks,
    /// It is dropped and the guest is told.
    Refused,
    /// It is dropped.
    Dropped,
}

impl From<Verdict> for Way<'_> {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Passt,
            Verdict::Refuse => Self::Refused,
            Verdict::Drop => Self::Dropped,
        }
    }
}

/// Judges a frame that a guest sends.
pub(super) fn way<'a>(policy: &Policy, frame: &'a [u8]) -> Way<'a> {
    // passt takes what is longer apart in a way that could be misled.
    if frame.len() > ETHERNET + MTU as usize {
        return Way::Dropped;
    }
    match frame.get(12..ETHERNET) {
        Some(kind) if kind == ARP => Way::Passt,
        Some(kind) if kind == IPV4 => {
            let packet = Packet::parse(frame).filter(|packet| packet.from == GUEST);
            packet.map_or(Way::Dropped, |packet| of_packet(policy, &packet))
        }
        Some(kind) if kind == IPV6 => ipv6::way(policy, frame),
        _ => Way::Dropped,
    }
}

fn of_packet<'a>(policy: &Policy, packet: &Packet<'a>) -> Way<'a> {
    let ports = packet.payload().first_chunk().filter(|_| packet.is_first);
    let port = ports.map(|&[_, _, high, low]| u16::from_be_bytes([high, low]));
    let verdict = match (packet.protocol, port) {
        (UDP | TCP, Some(port)) => policy.judge_port(packet.to.into(), port),
        _ => policy.judge(packet.to.into()),
    };
    if verdict != Verdict::Pass {
        return verdict.into();
    }
    // Nothing behind puts them together: the guest is told, and need not wait for an answer.
    if packet.is_fragment {
        return Way::Refused;
    }
    let relayed = match packet.protocol {
        TCP if packet.to != RESOLVER => return Way::Passt,
        // One that is not to leave its network does not.
        _ if packet.time_to_live < 2 || !packet.is_sound() => None,
        UDP => datagram(packet),
        ICMP => echo(packet),
        TCP => segment(packet),
        _ => None,
    };
    relayed.map_or(Way::Dropped, |(flow, payload)| Way::Relay(flow, payload))
}

fn datagram<'a>(packet: &Packet<'a>) -> Option<(Flow, &'a [u8])> {
    let &[.., a, b, sum_a, sum_b] = packet.payload().first_chunk::<UDP_HEADER>()?;
    let length = u16::from_be_bytes([a, b]);
    let pseudo = pseudo_header(packet.from, packet.to, UDP, length);
    let datagram = packet.payload().get(..usize::from(length))?;
    // None is given: the sender does not care.
    let is_sound = [sum_a, sum_b] == [0; 2] || checksum(&[&pseudo, datagram]) == [0; 2];
    is_sound.then(|| flow_of(packet.to.into(), datagram))?
}

/// What a datagram is part of, and what it holds.
fn flow_of(to: IpAddr, datagram: &[u8]) -> Option<(Flow, &[u8])> {
    let (&[a, b, c, d, ..], payload) = datagram.split_first_chunk::<UDP_HEADER>()?;
    let flow = Flow {
        kind: Kind::Datagram,
        guest: u16::from_be_bytes([a, b]),
        peer: to,
        port: u16::from_be_bytes([c, d]),
    };
    // Nothing could answer to port 0, or be sent there.
    (flow.guest != 0 && flow.port != 0).then_some((flow, payload))
}

/// Of a connection to the resolver. Its checksum is looked at where the connection is.
fn segment<'a>(packet: &Packet<'a>) -> Option<(Flow, &'a [u8])> {
    let &[a, b, c, d] = packet.payload().first_chunk()?;
    let flow = Flow {
        kind: Kind::Segment,
        guest: u16::from_be_bytes([a, b]),
        peer: packet.to.into(),
        port: u16::from_be_bytes([c, d]),
    };
    Some((flow, packet.payload()))
}

fn echo<'a>(packet: &Packet<'a>) -> Option<(Flow, &'a [u8])> {
    (checksum(&[packet.payload()]) == [0; 2])
        .then(|| echo_of(packet.to.into(), ECHO_REQUEST, packet.payload()))?
}

/// What an echo that begins like this is part of, with its sequence number and its data.
fn echo_of(to: IpAddr, begins: [u8; 2], message: &[u8]) -> Option<(Flow, &[u8])> {
    let &[.., a, b, _, _] = message.first_chunk::<ECHO_HEADER>()?;
    let flow = Flow {
        kind: Kind::Echo,
        guest: u16::from_be_bytes([a, b]),
        peer: to,
        port: 0,
    };
    (message[..2] == begins).then(|| (flow, &message[6..]))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::packet::tests::{frame_to, frame_with};

    const OUTSIDE: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);

    fn judge(frame: &[u8]) -> Way<'_> {
        way(&Policy::default(), frame)
    }

    fn datagram_to(to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
        let length = 8 + payload.len() as u16;
        let mut datagram = [&[0x4e, 0x20, 0, 53][..], &length.to_be_bytes(), &[0, 0], payload].concat();
        let sum = checksum(&[&pseudo_header(GUEST, to, UDP, length), &datagram]);
        datagram[6..8].copy_from_slice(&sum);
        frame_with(to, UDP, &datagram)
    }

    fn echo_to(to: Ipv4Addr, kind: u8) -> Vec<u8> {
        let mut message = [kind, 0, 0, 0, 0x12, 0x34, 0, 1, b'd', b'a', b't', b'a'];
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum);
        frame_with(to, ICMP, &message)
    }

    /// The header's checksum is made right after a change of it.
    fn changed(frame: &[u8], at: usize, value: u8) -> Vec<u8> {
        let mut frame = frame.to_vec();
        frame[at] = value;
        frame[24..26].fill(0);
        let sum = checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum);
        frame
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
        let question = Flow {
            peer: RESOLVER.into(),
            ..flow
        };
        assert_eq!(judge(&datagram_to(RESOLVER, b"?")), Way::Relay(question, b"?"));
        let segment = frame_to(RESOLVER, TCP, 53);
        let connection = Flow {
            kind: Kind::Segment,
            ..question
        };
        assert_eq!(judge(&segment), Way::Relay(connection, &segment[34..]));
        let flow = Flow {
            kind: Kind::Echo,
            guest: 0x1234,
            port: 0,
            ..flow
        };
        assert_eq!(judge(&echo_to(OUTSIDE, 8)), Way::Relay(flow, b"\0\x01data"));
        // It would be another's to take these for an answer.
        for kind in [0, 3, 5, 13] {
            assert_eq!(judge(&echo_to(OUTSIDE, kind)), Way::Dropped, "{kind}");
        }
        for protocol in [2, 41, 47, 132, 136] {
            assert_eq!(
                judge(&frame_to(OUTSIDE, protocol, 80)),
                Way::Dropped,
                "{protocol}"
            );
        }
    }

    #[test]
    fn what_is_not_sound_goes_nowhere() {
        let good = datagram_to(OUTSIDE, b"how do you do");
        for at in [22, 23, 24, 34, 39, 41, 45] {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            assert_ne!(judge(&bad), Way::Passt, "byte {at}");
            assert!(!matches!(judge(&bad), Way::Relay(..)), "byte {at}");
        }
        let mut bad = echo_to(OUTSIDE, 8);
        bad[43] ^= 1;
        assert_eq!(judge(&bad), Way::Dropped);
        // No checksum is given, as it may be; a port that nothing can answer to.
        let mut plain = good.clone();
        plain[40..42].fill(0);
        assert!(matches!(judge(&plain), Way::Relay(..)));
        plain[34..36].fill(0);
        assert_eq!(judge(&plain), Way::Dropped);
        // It claims to be longer than the packet, and shorter than its header.
        for length in [22, 7] {
            let mut plain = good.clone();
            plain[40..42].fill(0);
            plain[39] = length;
            assert_eq!(judge(&plain), Way::Dropped, "{length}");
        }
        assert_eq!(
            judge(&changed(&good, 22, 1)),
            Way::Dropped,
            "its time is over here"
        );
    }

    #[test]
    fn fragments_are_refused() {
        for (to, protocol) in [
            (OUTSIDE, UDP),
            (OUTSIDE, TCP),
            (OUTSIDE, ICMP),
            (RESOLVER, UDP),
            (RESOLVER, TCP),
        ] {
            for (at, value) in [(20, 0x20), (21, 1)] {
                let fragment = changed(&frame_to(to, protocol, 53), at, value);
                assert_eq!(judge(&fragment), Way::Refused, "{to} {protocol} {at}");
            }
        }
    }

    #[test]
    fn what_is_closed_is_refused_whatever_carries_it() {
        for to in [
            [127, 0, 0, 1],
            [10, 0, 2, 2],
            [192, 168, 1, 1],
            [169, 254, 169, 254],
        ] {
            for frame in [
                frame_to(to.into(), TCP, 80),
                datagram_to(to.into(), b""),
                echo_to(to.into(), 8),
            ] {
                assert_eq!(judge(&frame), Way::Refused, "{to:?}");
            }
        }
        for frame in [
            frame_to(RESOLVER, TCP, 54),
            frame_to(RESOLVER, TCP, 853),
            frame_to(RESOLVER, UDP, 54),
            echo_to(RESOLVER, 8),
        ] {
            assert_eq!(judge(&frame), Way::Refused);
        }
        assert_eq!(judge(&datagram_to([224, 0, 0, 251].into(), b"")), Way::Dropped);
    }

    #[test]
    fn only_plain_ipv4_from_the_guests_address_and_arp_pass() {
        let good = frame_to(OUTSIDE, TCP, 80);
        for (at, value) in [
            (12, 0x86),
            (12, 0x81),
            (14, 0x65),
            (14, 0x44),
            (14, 0x4f),
            (17, 29),
            (17, 19),
            (29, 16),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(judge(&bad), Way::Dropped, "byte {at} is {value:#x}");
        }
        let mut long = good.clone();
        long.resize(ETHERNET + MTU as usize, 0);
        assert_eq!(judge(&long), Way::Passt);
        long.push(0);
        assert_eq!(judge(&long), Way::Dropped);
        assert_eq!(judge(&[]), Way::Dropped);
        assert_eq!(judge(&[&[0xff; 12][..], &ARP, &[0; 28]].concat()), Way::Passt);
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic_and_none_that_passes_names_the_loopback(
            start: [u8; 12], kind in prop::sample::select(vec![IPV4, ARP, [0x86, 0xdd]]), rest: Vec<u8>, loopback: bool,
        ) {
            let mut frame = [&start[..], &kind, &rest].concat();
            if loopback && frame.len() > 30 {
                frame[30] = 127;
            }
            let passes = matches!(judge(&frame), Way::Passt | Way::Relay(..));
            prop_assert!(!(passes && frame[12..14] == IPV4 && [0, 127].contains(&frame[30])));
        }

        #[test]
        fn no_packet_to_the_internet_makes_it_panic(protocol in prop::sample::select(vec![ICMP, TCP, UDP]), payload: Vec<u8>) {
            let _ = judge(&frame_with(OUTSIDE, protocol, &payload));
        }
    }
}
