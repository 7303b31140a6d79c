use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::addresses::{GUEST, GUEST_V6};
use crate::packet::{checksum, header, pseudo_header};

const PEER: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);
const OWN: u16 = 40_000;
/// Of a large segment, and of a window.
const LARGE: usize = 60_000;
const WIDE: u16 = 512;

fn segment(ports: [u16; 2], numbers: [u32; 2], flags: u8, window: u16, data: usize) -> Vec<u8> {
    let mut segment = ports.map(u16::to_be_bytes).concat();
    segment.extend(numbers.map(u32::to_be_bytes).concat());
    segment.extend([5 << 4, flags]);
    segment.extend(window.to_be_bytes());
    segment.extend([0; 4]);
    segment.resize(HEADER + data, 7);
    segment
}

/// A frame over IPv4, with the checksum of the segment.
fn frame(from: Ipv4Addr, to: Ipv4Addr, mut segment: Vec<u8>) -> Vec<u8> {
    if let Some(place) = segment.get_mut(CHECKSUM..CHECKSUM + 2) {
        place.fill(0);
        let pseudo = pseudo_header(from, to, TCP, segment.len() as u16);
        let sum = checksum(&[&pseudo, &segment]);
        segment[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum);
    }
    let header = header(from, to, TCP, segment.len(), 1, 0).unwrap();
    [&[0; 12][..], &IPV4, &header, &segment].concat()
}

fn is_sound(frame: &[u8]) -> bool {
    let packet = Packet::parse(frame).unwrap();
    let segment = packet.payload();
    checksum(&[
        &pseudo_header(packet.from, packet.to, TCP, segment.len() as u16),
        segment,
    ]) == [0; 2]
}

/// The connection of a guest that has acknowledged all before `first`.
struct Talk {
    repeats: Repeats,
    now: Instant,
    first: u32,
}

impl Talk {
    fn from(first: u32) -> Self {
        let (repeats, now) = (Repeats::new(), Instant::now());
        let mut talk = Self { repeats, now, first };
        talk.send(u32::MAX, SYN | ACK, 0);
        assert_eq!(talk.acknowledge(0), WIDE);
        talk
    }

    /// One for which passt has sent 2 MB twice. The guest has 1 MB of it, and has just repeated that.
    fn flooded(first: u32) -> Self {
        let mut talk = Self::from(first);
        talk.send_all(0, 2_000_000);
        assert_eq!(talk.acknowledge(1_000_000), WIDE);
        talk.send_all(0, 2_000_000);
        talk.send_all(0, 100_000);
        assert_eq!(
            talk.acknowledge(1_000_000),
            WIDE,
            "the first repetition in a second"
        );
        talk
    }

    /// passt sends a segment at a number after the first.
    fn send(&mut self, at: u32, flags: u8, data: usize) {
        let numbers = [self.first.wrapping_add(at), 7];
        let segment = segment([80, OWN], numbers, flags, WIDE, data);
        self.repeats.sent(&frame(PEER, GUEST, segment));
    }

    fn send_all(&mut self, from: u32, to: u32) {
        for at in (from..to).step_by(LARGE) {
            self.send(at, ACK, (to - at).min(LARGE as u32) as usize);
        }
    }

    /// The window with which a segment of the guest's goes on.
    fn say(&mut self, at: u32, flags: u8, window: u16, data: usize) -> u16 {
        let numbers = [7, self.first.wrapping_add(at)];
        let before = frame(GUEST, PEER, segment([OWN, 80], numbers, flags, window, data));
        let mut after = before.clone();
        self.repeats.pass(&mut after, self.now);
        assert!(is_sound(&after));
        let window = parse(&after).unwrap().window;
        set_window(&mut after[34..], parse(&before).unwrap().window);
        assert_eq!(after, before, "nothing else changes");
        window
    }

    fn acknowledge(&mut self, at: u32) -> u16 {
        self.say(at, ACK, WIDE, 0)
    }
}

#[test]
fn repetitions_count_until_much_has_been_sent_again() {
    let mut talk = Talk::from(1000);
    talk.send_all(0, 1_500_000);
    assert_eq!(talk.acknowledge(400_000), WIDE);
    talk.send_all(0, 400_000);
    let rest = 1 << 20;
    talk.send_all(0, rest);
    for _ in 0..3 {
        assert_eq!(talk.acknowledge(400_000), WIDE);
    }
    talk.send(0, ACK, 2);
    for _ in 0..3 {
        assert_eq!(talk.acknowledge(400_000), lowered(WIDE));
        assert_eq!(
            talk.acknowledge(400_000),
            WIDE,
            "no repetition of the last either"
        );
    }
    // What the guest acknowledges may be sent again.
    assert_eq!(talk.acknowledge(400_100), WIDE);
    assert_eq!(talk.acknowledge(400_100), WIDE);
    assert_eq!(talk.acknowledge(400_100), WIDE);
}

#[test]
fn only_the_part_of_a_segment_that_was_sent_before_is_sent_again() {
    let mut talk = Talk::from(1000);
    for at in (0..4_000_000).step_by(LARGE / 2) {
        // Half of each is new.
        talk.send(at, ACK, LARGE);
    }
    assert_eq!(talk.acknowledge(3_000_000), WIDE);
    assert_eq!(talk.acknowledge(3_000_000), WIDE);
    let connection = talk.repeats.0.iter().flatten().next().unwrap();
    assert_eq!(connection.resent, 133 * (LARGE as u64) / 2);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_allows_nothing() {
    let mut talk = Talk::flooded(1000);
    assert_eq!(talk.acknowledge(2_000_000), WIDE);
    talk.send_all(0, 2_000_000);
    for at in [900_000_000, 1_800_000_000] {
        assert_eq!(talk.acknowledge(at), WIDE);
        assert_eq!(talk.acknowledge(at), lowered(WIDE));
    }
}

#[test]
fn a_repetition_counts_once_a_second() {
    let mut talk = Talk::flooded(1000);
    assert_eq!(talk.acknowledge(1_000_000), lowered(WIDE));
    talk.now += PAUSE - Duration::from_millis(1);
    assert_eq!(talk.acknowledge(1_000_000), WIDE);
    assert_eq!(talk.acknowledge(1_000_000), lowered(WIDE));
    talk.now += Duration::from_millis(1);
    assert_eq!(
        talk.acknowledge(1_000_000),
        lowered(WIDE),
        "that is what went on last: passt takes it for a loss"
    );
    assert_eq!(talk.acknowledge(1_000_000), WIDE);
}

#[test]
fn repetitions_count_while_passt_has_left_something_out_there() {
    let mut talk = Talk::flooded(1000);
    assert_eq!(talk.acknowledge(2_000_000), WIDE);
    talk.send_all(0, 2_000_000);
    assert_eq!(talk.acknowledge(2_000_000), lowered(WIDE));
    talk.send(2_000_500, ACK, 500);
    talk.send(2_002_000, ACK, 500);
    assert_eq!(talk.acknowledge(1_999_999), WIDE, "an old one");
    for _ in 0..3 {
        assert_eq!(talk.acknowledge(2_000_000), lowered(WIDE), "as it went on last");
    }
    // passt sends it, but for the last of it.
    talk.send(2_000_000, ACK, 500);
    assert_eq!(talk.acknowledge(2_000_000), WIDE, "it is not missing any more");
    assert_eq!(talk.acknowledge(2_001_000), WIDE);
    talk.send(2_000_500, ACK, 500);
    assert_eq!(talk.acknowledge(2_001_000), WIDE);
    assert_eq!(talk.acknowledge(2_001_000), WIDE);
    talk.send(2_001_000, ACK, 1000);
    assert_eq!(talk.acknowledge(2_001_000), lowered(WIDE));
    assert_eq!(talk.acknowledge(2_002_500), WIDE);
    assert_eq!(talk.acknowledge(2_002_500), lowered(WIDE));
}

#[test]
fn a_window_that_is_closed_or_would_be_stays_as_it_is() {
    let mut talk = Talk::flooded(1000);
    for window in [0, 1] {
        for _ in 0..3 {
            assert_eq!(talk.say(1_000_000, ACK, window, 0), window);
        }
    }
    assert_eq!(talk.say(1_000_000, ACK, 2, 0), 2);
    assert_eq!(talk.say(1_000_000, ACK, 2, 0), 1);
    assert_eq!(talk.say(1_000_000, ACK, 2, 0), 2);
}

#[test]
fn every_lowered_window_differs_by_more_than_a_hundredth() {
    for window in 2..=u16::MAX {
        let lowered = u32::from(lowered(window));
        assert!(lowered > 0 && lowered * 101 < u32::from(window) * 99, "{window}");
    }
}

#[test]
fn what_passt_takes_for_no_repetition_goes_on_as_it_is() {
    let mut talk = Talk::flooded(1000);
    let number = 1_000_000;
    for _ in 0..2 {
        for (flags, data) in [
            (ACK, 1),
            (ACK | FIN, 0),
            (SYN, 0),
            (RST, 0),
            (RST | ACK, 0),
            (0, 0),
        ] {
            assert_eq!(talk.say(number, flags, WIDE, data), WIDE, "{flags:#x}");
        }
    }
    // Data and numbers go together: passt compares what follows with them.
    assert_eq!(talk.say(number, ACK, WIDE + 1, 1), WIDE + 1);
    assert_eq!(talk.say(number, ACK, WIDE, 0), WIDE);
    assert_eq!(talk.say(number, ACK, WIDE, 0), lowered(WIDE));
    assert_eq!(talk.say(number, ACK, WIDE, 0), WIDE);
    assert_eq!(talk.say(number + 1, ACK, WIDE, 0), WIDE);
}

#[test]
fn connections_are_told_apart_and_begin_afresh() {
    let mut talk = Talk::flooded(1000);
    for (ports, peer) in [
        ([OWN, 81], PEER),
        ([OWN, 80], Ipv4Addr::new(1, 1, 1, 2)),
        ([OWN + CONNECTIONS as u16, 80], PEER),
    ] {
        let before = frame(GUEST, peer, segment(ports, [7, 1_001_000], ACK, WIDE, 0));
        for _ in 0..3 {
            let mut after = before.clone();
            talk.repeats.pass(&mut after, talk.now);
            assert_eq!(after, before, "{ports:?}");
        }
    }
    assert_eq!(talk.acknowledge(1_000_000), lowered(WIDE));
    // The same ports, another connection.
    talk.send(1_000_000, SYN | ACK, 0);
    for _ in 0..3 {
        assert_eq!(talk.acknowledge(1_000_001), WIDE);
    }
}

#[test]
fn sequence_numbers_wrap() {
    for first in [
        u32::MAX - 500_000,
        u32::MAX - 1_500_000,
        u32::MAX - 1_999_999,
        u32::MAX,
    ] {
        let mut talk = Talk::flooded(first);
        assert_eq!(talk.acknowledge(1_000_000), lowered(WIDE), "{first}");
        assert_eq!(talk.acknowledge(2_000_000), WIDE);
        talk.send_all(0, 2_000_000);
        assert_eq!(talk.acknowledge(2_000_000), lowered(WIDE));
        talk.send(2_000_100, ACK, 100);
        assert_eq!(talk.acknowledge(2_000_000), lowered(WIDE), "a gap");
    }
}

#[test]
fn connections_over_ipv6_are_followed_too() {
    let [guest, peer] = [GUEST_V6, "2001:db9::1".parse().unwrap()];
    let frame = |from: Ipv6Addr, to, segment: Vec<u8>| {
        let header = ipv6::header(from, to, TCP, 64, segment.len()).unwrap();
        let segment = ipv6::summed(from, to, TCP, segment, CHECKSUM);
        [&[0; 12][..], &IPV6, &header, &segment].concat()
    };
    let mut repeats = Repeats::new();
    repeats.sent(&frame(
        peer,
        guest,
        segment([80, OWN], [999, 7], SYN | ACK, WIDE, 0),
    ));
    for _ in 0..30 {
        repeats.sent(&frame(
            peer,
            guest,
            segment([80, OWN], [1000, 7], ACK, WIDE, LARGE),
        ));
    }
    let said = frame(guest, peer, segment([OWN, 80], [7, 61_000], ACK, WIDE, 0));
    let mut windows = Vec::new();
    for _ in 0..4 {
        let mut said = said.clone();
        repeats.pass(&mut said, Instant::now());
        assert!(ipv6::Packet::parse(&said).unwrap().is_sound());
        windows.push(parse(&said).unwrap().window);
    }
    assert_eq!(windows, [WIDE, WIDE, lowered(WIDE), WIDE]);
}

proptest! {
    #[test]
    fn the_checksum_stays_right(
        numbers: [u32; 2], before: u16, window: u16, data in 0..9_usize,
    ) {
        let mut frame = frame(GUEST, PEER, segment([OWN, 80], numbers, ACK, before, data));
        set_window(&mut frame[34..], window);
        prop_assert_eq!(parse(&frame).unwrap().window, window);
        prop_assert!(is_sound(&frame));
    }

    #[test]
    fn no_segment_makes_it_panic(
        segments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
        cut in 0..80_usize,
    ) {
        let (mut repeats, now) = (Repeats::new(), Instant::now());
        for mut bytes in segments {
            if let Some(ports) = bytes.get_mut(..4) {
                ports.fill(0);
            }
            for _ in 0..2 {
                repeats.sent(&frame(GUEST, GUEST, bytes.clone()));
                let mut frame = frame(GUEST, GUEST, bytes.clone());
                repeats.pass(&mut frame, now);
                let cut = cut.min(frame.len());
                repeats.sent(&frame[..cut]);
                repeats.pass(&mut frame[..cut], now);
                repeats.pass(&mut bytes, now);
            }
        }
    }
}
