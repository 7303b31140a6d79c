//! IPv6 packets (RFC 8200) in Ethernet frames: what is looked at of a guest's, and making those that a guest gets.

use std::net::Ipv6Addr;

use super::{ETHERNET, Ends, MTU, PREFIX, TIME_TO_LIVE, checksum};
use crate::addresses::GUEST_V6;

/// What stands before it in a frame.
pub(crate) const ETHERTYPE: [u8; 2] = [0x86, 0xdd];
/// Length of a header.
const HEADER: usize = 40;
/// Length of the header before a fragment, and the number that stands for it.
const FRAGMENT_HEADER: usize = 8;
const FRAGMENT: u8 = 44;

pub(crate) const ICMP: u8 = 58;

/// A guest's packet, of which nothing is a fragment and nothing an extension header: what follows is known by `protocol`.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    bytes: &'a [u8],
    pub(crate) from: Ipv6Addr,
    pub(crate) to: Ipv6Addr,
    /// Also that of an extension header.
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
}

impl<'a> Packet<'a> {
    /// The packet in an Ethernet frame. It is as long as it says: none is so short that a frame would be filled up.
    pub(crate) fn parse(frame: &'a [u8]) -> Option<Self> {
        let bytes = frame.get(ETHERNET..)?;
        let header = bytes.first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 || bytes.len() != HEADER + length {
            return None;
        }
        Some(Self {
            bytes,
            from: address(header, 8),
            to: address(header, 24),
            protocol: header[6],
            hop_limit: header[7],
        })
    }

    /// What follows the header.
    pub(crate) fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER..]
    }

    /// As much of it as an error message may quote.
    pub(crate) fn quotation(&self, most: usize) -> &'a [u8] {
        &self.bytes[..self.bytes.len().min(most)]
    }

    /// Whether the payload's checksum is right, wherever in it that is.
    pub(crate) fn is_sound(&self) -> bool {
        let pseudo = pseudo_header(self.from, self.to, self.protocol, self.payload().len());
        checksum(&[&pseudo, self.payload()]) == [0; 2]
    }
}

fn address(header: &[u8; HEADER], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    octets.into()
}

/// What is summed up besides the payload (RFC 8200, 8.1).
fn pseudo_header(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, length: usize) -> [u8; 40] {
    let mut header = [0; 40];
    header[..16].copy_from_slice(&from.octets());
    header[16..32].copy_from_slice(&to.octets());
    // No packet is longer than 32 bits count.
    header[32..36].copy_from_slice(&(length as u32).to_be_bytes());
    header[39] = protocol;
    header
}

/// A payload with its checksum, which is zero before.
pub(crate) fn summed(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, mut payload: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = match checksum(&[&pseudo_header(from, to, protocol, payload.len()), &payload]) {
        // Of a datagram's, zero would say that there is none.
        [0, 0] => [0xff; 2],
        sum => sum,
    };
    payload[at..at + 2].copy_from_slice(&sum);
    payload
}

/// The header of a packet that carries `length` bytes.
pub(crate) fn header(
    from: Ipv6Addr,
    to: Ipv6Addr,
    protocol: u8,
    hop_limit: u8,
    length: usize,
) -> Option<[u8; HEADER]> {
    let length = u16::try_from(length).ok()?;
    let mut header = [0; HEADER];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&length.to_be_bytes());
    header[6..8].copy_from_slice(&[protocol, hop_limit]);
    header[8..24].copy_from_slice(&from.octets());
    header[24..].copy_from_slice(&to.octets());
    Some(header)
}

/// A frame with a packet, after its length.
pub(crate) fn frame(ends: Ends, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = ETHERNET + header.len() + payload.len();
    [
        &(length as u32).to_be_bytes()[..],
        &ends.guest,
        &ends.gateway,
        &ETHERTYPE,
        header,
        payload,
    ]
    .concat()
}

/// The frames that carry a packet to the guest, each after its length: one, or as many fragments as its card takes.
pub(crate) fn frames(
    ends: Ends,
    from: Ipv6Addr,
    protocol: u8,
    identification: u16,
    payload: &[u8],
) -> Vec<u8> {
    const WHOLE: usize = MTU as usize - HEADER;
    // Where a fragment belongs is counted in 8 bytes.
    const PIECE: usize = (WHOLE - FRAGMENT_HEADER) / 8 * 8;
    if payload.len() > usize::from(u16::MAX) {
        return Vec::new();
    }
    if payload.len() <= WHOLE {
        let header = header(from, GUEST_V6, protocol, TIME_TO_LIVE, payload.len());
        return header.map_or_else(Vec::new, |header| frame(ends, &header, payload));
    }
    let count = payload.len().div_ceil(PIECE);
    let mut frames =
        Vec::with_capacity(payload.len() + count * (PREFIX + ETHERNET + HEADER + FRAGMENT_HEADER));
    for (number, piece) in payload.chunks(PIECE).enumerate() {
        let more = u16::from(number + 1 < count);
        let place = (number * PIECE) as u16 | more;
        let mut fragment = [0; FRAGMENT_HEADER];
        fragment[0] = protocol;
        fragment[2..4].copy_from_slice(&place.to_be_bytes());
        fragment[6..].copy_from_slice(&identification.to_be_bytes());
        let Some(header) = header(
            from,
            GUEST_V6,
            FRAGMENT,
            TIME_TO_LIVE,
            FRAGMENT_HEADER + piece.len(),
        ) else {
            return Vec::new();
        };
        frames.extend(frame(ends, &[&header[..], &fragment].concat(), piece));
    }
    frames
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The other hardware address is the gateway's.
    const ENDS: Ends = Ends {
        guest: [2; 6],
        gateway: [1; 6],
    };

    /// A frame of the guest's from any address, the checksum at its place in the payload.
    pub(crate) fn frame_from(
        from: Ipv6Addr,
        to: Ipv6Addr,
        protocol: u8,
        hop_limit: u8,
        payload: &[u8],
        at: usize,
    ) -> Vec<u8> {
        let header = header(from, to, protocol, hop_limit, payload.len()).unwrap();
        let payload = summed(from, to, protocol, payload.to_vec(), at);
        frame(ENDS, &header, &payload)[PREFIX..].to_vec()
    }

    /// One whose payload is a segment or a datagram with nothing in it, to a port.
    pub(crate) fn frame_to(to: Ipv6Addr, protocol: u8, port: u16) -> Vec<u8> {
        let [high, low] = port.to_be_bytes();
        let payload = [0x4e, 0x20, high, low, 0, 8, 0, 0];
        frame_from(GUEST_V6, to, protocol, 64, &payload, 6)
    }

    #[test]
    fn a_packet_is_as_long_as_it_says() {
        let good = frame_to("2600::1".parse().unwrap(), 17, 53);
        let packet = Packet::parse(&good).unwrap();
        assert_eq!(packet.payload().len(), 8);
        assert_eq!(
            (packet.from, packet.protocol, packet.hop_limit),
            (GUEST_V6, 17, 64)
        );
        assert!(packet.is_sound());
        assert!(Packet::parse(&[&good[..], &[0]].concat()).is_none());
        for length in 0..good.len() {
            assert!(Packet::parse(&good[..length]).is_none(), "{length}");
        }
        for (at, value) in [(14, 0x45), (14, 0x70), (19, 9), (18, 1)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(Packet::parse(&bad).is_none(), "byte {at}");
        }
        for at in [22, 38, 54, 61] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(!Packet::parse(&bad).unwrap().is_sound(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn a_packet_arrives_in_fragments_that_a_card_takes(length in 0..65_536_usize) {
            let payload: Vec<u8> = (0..length).map(|number| (number / 251) as u8).collect();
            let from = "2600::1".parse().unwrap();
            let frames = frames(ENDS, from, 17, 7, &payload);
            let (mut rest, mut received) = (&frames[..], Vec::<u8>::new());
            while let Some((length, after)) = rest.split_first_chunk() {
                let (frame, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                prop_assert!(frame.len() <= ETHERNET + MTU as usize);
                prop_assert_eq!(&frame[..ETHERNET], &[&[2; 6][..], &[1; 6], &ETHERTYPE].concat());
                let packet = Packet::parse(frame).unwrap();
                prop_assert_eq!((packet.from, packet.to), (from, GUEST_V6));
                if packet.protocol == FRAGMENT {
                    let (head, piece) = packet.payload().split_at(FRAGMENT_HEADER);
                    prop_assert_eq!(&[head[0], head[1]], &[17, 0]);
                    prop_assert_eq!(&head[4..], &[0, 0, 0, 7]);
                    let place = u16::from_be_bytes([head[2], head[3]]);
                    prop_assert_eq!(usize::from(place & !7), received.len());
                    prop_assert_eq!(place & 7, u16::from(!after.is_empty()));
                    received.extend(piece);
                } else {
                    prop_assert_eq!(packet.protocol, 17);
                    received.extend(packet.payload());
                }
                rest = after;
            }
            prop_assert_eq!(received, payload);
        }

        #[test]
        fn no_frame_makes_it_panic(start: [u8; 14], first in 0x5f_u8..0x71, rest: Vec<u8>, whole: bool) {
            let _ = Packet::parse(&rest);
            let mut frame = [&start[..], &[first], &rest].concat();
            if whole && frame.len() >= ETHERNET + HEADER {
                let length = (frame.len() - ETHERNET - HEADER) as u16;
                frame[18..20].copy_from_slice(&length.to_be_bytes());
            }
            if let Some(packet) = Packet::parse(&frame) {
                let _ = (packet.payload(), packet.quotation(9), packet.is_sound());
            }
        }
    }
}
