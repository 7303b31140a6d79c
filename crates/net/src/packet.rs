//! IPv4 packets (RFC 791) in Ethernet frames: what is looked at of a guest's, and making those that a guest gets. Those of
//! [`ipv6`] are apart.

pub(crate) mod ipv6;

use std::net::Ipv4Addr;

use crate::addresses::{GUEST, MTU};

/// Length of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Length of the length before each frame.
pub(crate) const PREFIX: usize = 4;
/// Length of an IPv4 header without options.
const HEADER: usize = 20;
/// Flags and offset of a fragment: more follow; where it belongs.
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
const TIME_TO_LIVE: u8 = 64;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// A guest's packet.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    /// The header with its options, and what follows; without what fills a frame up.
    bytes: &'a [u8],
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) time_to_live: u8,
    /// Whether it is a whole packet or the first fragment of one.
    pub(crate) is_first: bool,
    /// Whether it is a fragment.
    pub(crate) is_fragment: bool,
    header: usize,
}

impl<'a> Packet<'a> {
    /// The packet in an Ethernet frame.
    pub(crate) fn parse(frame: &'a [u8]) -> Option<Self> {
        let bytes = frame.get(ETHERNET..)?;
        let fixed = bytes.first_chunk::<HEADER>()?;
        let header = usize::from(fixed[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if fixed[0] >> 4 != 4 || header < HEADER || header > total {
            return None;
        }
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
        Some(Self {
            bytes: bytes.get(..total)?,
            from: address(fixed, 12),
            to: address(fixed, 16),
            protocol: fixed[9],
            time_to_live: fixed[8],
            is_first: fragment & OFFSET == 0,
            is_fragment: fragment & (MORE_FRAGMENTS | OFFSET) != 0,
            header,
        })
    }

    /// What follows the header.
    pub(crate) fn payload(&self) -> &'a [u8] {
        &self.bytes[self.header..]
    }

    /// Header and the first 8 bytes after it: what an error message quotes.
    pub(crate) fn quotation(&self) -> &'a [u8] {
        &self.bytes[..self.bytes.len().min(self.header + 8)]
    }

    /// Whether the header is as it was sent.
    pub(crate) fn is_sound(&self) -> bool {
        checksum(&[&self.bytes[..self.header]]) == [0; 2]
    }
}

fn address(header: &[u8; HEADER], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3])
}

/// The Internet checksum (RFC 1071) of these bytes one after the other; all but the last are even in number.
pub(crate) fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 = pairs
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// What UDP and TCP sum up besides their own bytes.
pub(crate) fn pseudo_header(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, length: u16) -> [u8; 12] {
    let mut header = [0; 12];
    header[..4].copy_from_slice(&from.octets());
    header[4..8].copy_from_slice(&to.octets());
    header[9] = protocol;
    header[10..].copy_from_slice(&length.to_be_bytes());
    header
}

/// The hardware addresses of the two ends, as the guest's frames name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) guest: [u8; 6],
    pub(crate) gateway: [u8; 6],
}

impl Ends {
    /// Of a frame that the guest sends.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let &[gateway, guest] = frame.get(..12)?.as_chunks::<6>().0 else {
            return None;
        };
        Some(Self { guest, gateway })
    }
}

/// The header of an IPv4 packet that carries `length` bytes.
pub(crate) fn header(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    length: usize,
    identification: u16,
    fragment: u16,
) -> Option<[u8; HEADER]> {
    let total = u16::try_from(HEADER + length).ok()?;
    let mut header = [0; HEADER];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[4..6].copy_from_slice(&identification.to_be_bytes());
    header[6..8].copy_from_slice(&fragment.to_be_bytes());
    header[8] = TIME_TO_LIVE;
    header[9] = protocol;
    header[12..16].copy_from_slice(&from.octets());
    header[16..].copy_from_slice(&to.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    Some(header)
}

/// The frames that carry a packet to the guest, each after its length: one, or as many fragments as its card takes.
pub(crate) fn frames(
    ends: Ends,
    from: Ipv4Addr,
    protocol: u8,
    identification: u16,
    payload: &[u8],
) -> Vec<u8> {
    const WHOLE: usize = MTU as usize - HEADER;
    // Where a fragment belongs is counted in 8 bytes.
    let largest = if payload.len() > WHOLE {
        WHOLE / 8 * 8
    } else {
        WHOLE
    };
    if payload.len() > usize::from(u16::MAX) - HEADER {
        // No packet is as long, nor may its fragments add up to one.
        return Vec::new();
    }
    let count = payload.len().div_ceil(largest).max(1);
    let mut frames = Vec::with_capacity(payload.len() + count * (PREFIX + ETHERNET + HEADER));
    for number in 0..count {
        let piece = &payload[number * largest..payload.len().min((number + 1) * largest)];
        let more = if number + 1 < count { MORE_FRAGMENTS } else { 0 };
        let fragment = more | (number * largest / 8) as u16;
        let Some(header) = header(from, GUEST, protocol, piece.len(), identification, fragment) else {
            return Vec::new();
        };
        let length = ETHERNET + HEADER + piece.len();
        frames.extend((length as u32).to_be_bytes());
        frames.extend(ends.guest);
        frames.extend(ends.gateway);
        frames.extend([8, 0]);
        frames.extend(header);
        frames.extend(piece);
    }
    frames
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame of the guest's with a whole packet.
    pub(crate) fn frame_with(to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let header = header(GUEST, to, protocol, payload.len(), 1, 0).unwrap();
        [&[2; 6][..], &[1; 6], &[8, 0], &header, payload].concat()
    }

    /// One whose payload begins with two ports.
    pub(crate) fn frame_to(to: Ipv4Addr, protocol: u8, port: u16) -> Vec<u8> {
        let [high, low] = port.to_be_bytes();
        frame_with(to, protocol, &[0x4e, 0x20, high, low, 0, 8, 0, 0])
    }

    #[test]
    fn what_fills_a_frame_up_is_not_of_the_packet() {
        let mut frame = frame_with([1, 1, 1, 1].into(), UDP, b"payload!");
        frame.extend([0; 20]);
        let packet = Packet::parse(&frame).unwrap();
        assert_eq!(packet.payload(), b"payload!");
        assert!(packet.is_sound() && packet.is_first && !packet.is_fragment);
        frame[22] = 9;
        assert!(!Packet::parse(&frame).unwrap().is_sound());
        frame.truncate(41);
        assert!(Packet::parse(&frame).is_none(), "it is cut short");
    }

    proptest! {
        #[test]
        fn a_packet_arrives_in_fragments_that_a_card_takes(length in 0..65_516_usize) {
            let payload: Vec<u8> = (0..length).map(|number| (number / 251) as u8).collect();
            let ends = Ends { guest: [1; 6], gateway: [2; 6] };
            let frames = frames(ends, [9, 9, 9, 9].into(), UDP, 7, &payload);
            let (mut rest, mut received) = (&frames[..], Vec::<u8>::new());
            while let Some((length, after)) = rest.split_first_chunk() {
                let (frame, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                prop_assert!(frame.len() <= ETHERNET + MTU as usize);
                prop_assert_eq!(&frame[..ETHERNET], &[&[1; 6][..], &[2; 6], &[8, 0]].concat());
                let packet = Packet::parse(frame).unwrap();
                prop_assert!(packet.is_sound() && packet.to == GUEST);
                let fragment = u16::from_be_bytes([frame[20], frame[21]]);
                prop_assert_eq!(usize::from(fragment & OFFSET) * 8, received.len());
                prop_assert_eq!(fragment & MORE_FRAGMENTS != 0, !after.is_empty());
                received.extend(packet.payload());
                rest = after;
            }
            prop_assert_eq!(received, payload);
        }

        #[test]
        fn no_frame_makes_it_panic(start: [u8; 14], first in prop::sample::select(vec![0x45_u8, 0x46, 0x4f]), rest: Vec<u8>) {
            let _ = Packet::parse(&rest);
            if let Some(packet) = Packet::parse(&[&start[..], &[first], &rest].concat()) {
                let _ = (packet.payload(), packet.quotation(), packet.is_sound());
            }
        }
    }
}
