//! Acknowledgements that ask for nothing.
//!
//! A guest that gets a segment a second time acknowledges once more what it has (RFC 9293, 3.10.7.4), and so it does for
//! each segment that follows a lost one (RFC 5681, 3.2). passt takes every repetition for a loss and sends all that the
//! guest's window holds again; for each segment of that comes one more repetition. In a guest that is slow for a moment
//! this feeds itself: 6 MB came as 1.5 GB.
//!
//! All that passt sends goes through the filter, which therefore knows what is missing: a repetition goes on only where
//! passt left something out, or asked whether the guest is there.

use std::net::IpAddr;

use crate::packet::{Packet, TCP, ipv6};

/// Connections that are followed at a time. One in whose place another has come is followed from its next segment on;
/// until then all its acknowledgements go on.
const CONNECTIONS: usize = 1024;

/// Length of a TCP header without options (RFC 9293, 3.1), and its flags.
const HEADER: usize = 20;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// What is known of the guest's connections.
#[derive(Debug)]
pub(super) struct Repeats(Vec<Option<Connection>>);

#[derive(Debug)]
struct Connection {
    name: Name,
    /// The number after all that passt has sent.
    next: u32,
    /// The number of what passt left out.
    missing: Option<u32>,
    /// Whether passt asked for an answer that says nothing new.
    is_asked: bool,
    /// The last acknowledgement without data.
    said: Option<Acknowledgement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    guest: u16,
    peer: IpAddr,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Acknowledgement {
    sequence: u32,
    acknowledged: u32,
    window: u16,
}

/// A segment, as far as it matters here.
#[derive(Debug)]
struct Segment {
    from: IpAddr,
    to: IpAddr,
    ports: [u16; 2],
    sequence: u32,
    acknowledged: u32,
    flags: u8,
    window: u16,
    /// Of data; the beginning and the end of a connection count as one each.
    length: u32,
}

impl Repeats {
    pub(super) fn new() -> Self {
        Self(std::iter::repeat_with(|| None).take(CONNECTIONS).collect())
    }

    /// Takes note of a frame that passt sends to the guest.
    pub(super) fn sent(&mut self, frame: &[u8]) {
        let Some(segment) = parse(frame) else {
            return;
        };
        let [port, guest] = segment.ports;
        let name = Name {
            guest,
            peer: segment.from,
            port,
        };
        let place = self.place(name);
        match place {
            Some(connection) if connection.name == name && segment.flags & SYN == 0 => {
                connection.sent(&segment);
            }
            _ => {
                *place = Some(Connection {
                    name,
                    next: segment.sequence.wrapping_add(segment.length),
                    missing: None,
                    is_asked: false,
                    said: None,
                });
            }
        }
    }

    /// Whether a frame that the guest sends is a repetition which asks for nothing.
    pub(super) fn is_needless(&mut self, frame: &[u8]) -> bool {
        let Some(segment) = parse(frame) else {
            return false;
        };
        let [guest, port] = segment.ports;
        let name = Name {
            guest,
            peer: segment.to,
            port,
        };
        match self.place(name) {
            Some(connection) if connection.name == name => connection.is_needless(&segment),
            _ => false,
        }
    }

    fn place(&mut self, name: Name) -> &mut Option<Connection> {
        &mut self.0[usize::from(name.guest) % CONNECTIONS]
    }
}

impl Connection {
    fn sent(&mut self, segment: &Segment) {
        let end = segment.sequence.wrapping_add(segment.length);
        if is_before(self.next, segment.sequence) {
            self.missing = Some(self.next);
        } else if segment.length == 0 || segment.sequence == self.next.wrapping_sub(1) {
            // An empty segment, or one byte that the guest has: what asks whether it is there, or how much it takes.
            self.is_asked = true;
        }
        let fills = |missing| !is_before(missing, segment.sequence) && is_before(missing, end);
        self.missing = self.missing.filter(|missing| !fills(*missing));
        if is_before(self.next, end) {
            self.next = end;
        }
    }

    fn is_needless(&mut self, segment: &Segment) -> bool {
        if segment.flags != ACK || segment.length != 0 {
            return false;
        }
        let says = Acknowledgement {
            sequence: segment.sequence,
            acknowledged: segment.acknowledged,
            window: segment.window,
        };
        if self.said.replace(says) != Some(says) {
            return false;
        }
        let asks = self.missing == Some(says.acknowledged);
        if asks {
            // Once: what passt sends next fills the gap, or leaves the next one.
            self.missing = None;
        }
        !(asks || std::mem::take(&mut self.is_asked))
    }
}

/// Whether a sequence number comes before another; they begin again after the last (RFC 9293, 3.4).
fn is_before(one: u32, other: u32) -> bool {
    (other.wrapping_sub(one) as i32) > 0
}

fn parse(frame: &[u8]) -> Option<Segment> {
    if let Some(packet) = Packet::parse(frame) {
        let is_whole = packet.protocol == TCP && !packet.is_fragment;
        return is_whole.then(|| segment(packet.from.into(), packet.to.into(), packet.payload()))?;
    }
    let packet = ipv6::Packet::parse(frame).filter(|packet| packet.protocol == TCP)?;
    segment(packet.from.into(), packet.to.into(), packet.payload())
}

fn segment(from: IpAddr, to: IpAddr, bytes: &[u8]) -> Option<Segment> {
    let header = bytes.first_chunk::<HEADER>()?;
    let data = bytes.len().checked_sub(usize::from(header[12] >> 4) * 4)?;
    let flags = header[13];
    let counted = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let pair = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let number = |at: usize| u32::from(pair(at)) << 16 | u32::from(pair(at + 2));
    Some(Segment {
        from,
        to,
        ports: [pair(0), pair(2)],
        sequence: number(4),
        acknowledged: number(8),
        flags,
        window: pair(14),
        length: u32::try_from(data).ok()? + counted,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::addresses::GUEST;
    use crate::packet::header;

    const PEER: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);

    fn segment(
        ports: [u16; 2],
        sequence: u32,
        acknowledged: u32,
        flags: u8,
        window: u16,
        data: usize,
    ) -> Vec<u8> {
        let mut segment = Vec::new();
        segment.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        segment.extend(
            [sequence, acknowledged]
                .iter()
                .flat_map(|number| number.to_be_bytes()),
        );
        segment.extend([5 << 4, flags]);
        segment.extend(window.to_be_bytes());
        segment.extend([0; 4]);
        segment.resize(HEADER + data, 0);
        segment
    }

    fn frame(from: Ipv4Addr, to: Ipv4Addr, segment: &[u8]) -> Vec<u8> {
        let header = header(from, to, TCP, segment.len(), 1, 0).unwrap();
        [&[0; 12][..], &[8, 0], &header, segment].concat()
    }

    /// A connection of which the guest has said that it has all before 1000.
    struct Talk(Repeats);

    impl Talk {
        fn new() -> Self {
            let mut talk = Self(Repeats::new());
            talk.send(999, SYN | ACK, 0);
            assert!(!talk.needless(1000, 64));
            talk
        }

        fn send(&mut self, sequence: u32, flags: u8, data: usize) {
            let segment = segment([80, 40_000], sequence, 7, flags, 512, data);
            self.0.sent(&frame(PEER, GUEST, &segment));
        }

        fn needless(&mut self, acknowledged: u32, window: u16) -> bool {
            let segment = segment([40_000, 80], 7, acknowledged, ACK, window, 0);
            self.0.is_needless(&frame(GUEST, PEER, &segment))
        }
    }

    #[test]
    fn what_the_guest_says_of_a_segment_that_it_has_is_needless() {
        let mut talk = Talk::new();
        talk.send(1000, ACK, 500);
        talk.send(1500, ACK, 500);
        assert!(!talk.needless(1500, 64));
        assert!(!talk.needless(2000, 64));
        // All of it again.
        talk.send(1000, ACK, 500);
        talk.send(1500, ACK, 500);
        assert!(talk.needless(2000, 64));
        assert!(talk.needless(2000, 64));
        // It takes more, or less.
        assert!(!talk.needless(2000, 65));
        assert!(!talk.needless(2000, 0));
        talk.send(2000, ACK, 500);
        assert!(!talk.needless(2500, 0));
    }

    #[test]
    fn a_gap_is_asked_for_once_until_there_is_another() {
        let mut talk = Talk::new();
        talk.send(1500, ACK, 500);
        talk.send(2000, ACK, 500);
        assert!(!talk.needless(1000, 64), "passt left out 1000 to 1499");
        assert!(talk.needless(1000, 64));
        talk.send(1000, ACK, 500);
        talk.send(1500, ACK, 1000);
        assert!(!talk.needless(2500, 64));
        assert!(talk.needless(2500, 64));
        talk.send(3000, ACK, 500);
        talk.send(2500, ACK, 500);
        assert!(
            talk.needless(2500, 64),
            "what was left out came before it was asked for"
        );
        // The answer is left out again.
        talk.send(4000, ACK, 100);
        assert!(!talk.needless(3500, 64));
        assert!(!talk.needless(3500, 64));
        talk.send(4200, ACK, 100);
        assert!(
            talk.needless(3500, 64),
            "the first gap, again, is left to passt's clock"
        );
    }

    #[test]
    fn what_passt_asks_is_answered() {
        let mut talk = Talk::new();
        talk.send(1000, ACK, 500);
        assert!(!talk.needless(1500, 64));
        for (sequence, data) in [(1499, 0), (1499, 1), (1500, 0), (1400, 0)] {
            assert!(talk.needless(1500, 64));
            talk.send(sequence, ACK, data);
            assert!(!talk.needless(1500, 64), "{sequence} and {data} bytes");
        }
    }

    #[test]
    fn what_says_more_than_an_acknowledgement_goes_on() {
        let mut talk = Talk::new();
        for (flags, data) in [
            (ACK, 1),
            (ACK | FIN, 0),
            (ACK | 4, 0),
            (ACK | 8, 0),
            (SYN, 0),
            (0, 0),
        ] {
            for _ in 0..2 {
                let segment = segment([40_000, 80], 7, 1000, flags, 64, data);
                assert!(!talk.0.is_needless(&frame(GUEST, PEER, &segment)), "{flags:#x}");
            }
        }
        // A probe of the guest's own, one before what it has sent, is answered each time.
        let probe = segment([40_000, 80], 6, 1000, ACK, 64, 0);
        assert!(!talk.0.is_needless(&frame(GUEST, PEER, &probe)));
    }

    #[test]
    fn connections_are_told_apart_and_begin_anew() {
        let mut talk = Talk::new();
        assert!(talk.needless(1000, 64));
        // Another port, another peer, and a port whose place is the same: nothing is known of them.
        for (ports, peer) in [
            ([40_000, 81], PEER),
            ([40_000, 80], Ipv4Addr::new(1, 1, 1, 2)),
            ([40_000 + CONNECTIONS as u16, 80], PEER),
        ] {
            let segment = segment(ports, 7, 1000, ACK, 64, 0);
            for _ in 0..2 {
                assert!(!talk.0.is_needless(&frame(GUEST, peer, &segment)), "{ports:?}");
            }
        }
        talk.send(999, SYN | ACK, 0);
        assert!(!talk.needless(1000, 64), "the same ports, a new connection");
    }

    #[test]
    fn numbers_begin_again_after_the_last() {
        let mut talk = Talk::new();
        talk.send(u32::MAX - 99, SYN | ACK, 0);
        talk.send(u32::MAX - 98, ACK, 200);
        assert!(!talk.needless(101, 64));
        assert!(talk.needless(101, 64));
        talk.send(301, ACK, 100);
        assert!(!talk.needless(101, 64), "101 to 300 is missing");
    }

    #[test]
    fn connections_over_ipv6_are_followed_too() {
        let [guest, peer] = [Ipv6Addr::LOCALHOST, "2001:db9::1".parse().unwrap()];
        let frame = |from, to, segment: &[u8]| {
            let header = ipv6::header(from, to, TCP, 64, segment.len()).unwrap();
            [&[0; 12][..], &ipv6::ETHERTYPE, &header, segment].concat()
        };
        let mut repeats = Repeats::new();
        let opened = segment([80, 40_000], 999, 7, SYN | ACK, 512, 0);
        repeats.sent(&frame(peer, guest, &opened));
        let said = frame(guest, peer, &segment([40_000, 80], 7, 1000, ACK, 64, 0));
        assert!(!repeats.is_needless(&said));
        assert!(repeats.is_needless(&said));
    }

    proptest! {
        #[test]
        fn no_segment_makes_it_panic(
            segments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
        ) {
            let mut repeats = Repeats::new();
            for bytes in segments {
                let frame = frame(PEER, GUEST, &bytes);
                repeats.sent(&frame);
                let _ = repeats.is_needless(&frame);
                let _ = repeats.is_needless(&bytes);
            }
        }
    }
}
