//! The outer frame's bytes: encoding, and a decoder that finds its way back into step.

use bytes::{Buf, Bytes, BytesMut};

/// First bytes of every frame; none of them is a zero, so zeros are never mistaken for a start.
const MAGIC: [u8; 4] = [0xB7, 0x6E, 0x67, 0x31];

/// Length of a frame's header in bytes.
pub const HEADER: usize = 20;

/// Longest payload of a frame in bytes.
///
/// A frame of this size is 32 KiB with its header: the most that Linux' virtio-console takes in one write, and so
/// one buffer of the virtqueue.
pub const MAX_PAYLOAD: usize = 32 * 1024 - HEADER;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Opens a session; always replaces the one before.
    Hello,
    /// Answers the HELLO of the same session.
    Ack,
    /// Bytes of the session.
    Data,
    /// A new agent is there: whatever session there was is over. Belongs to none.
    Reset,
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// The session that it belongs to.
    pub session: u64,
    /// Length of the payload in bytes, at most [`MAX_PAYLOAD`].
    pub length: usize,
}

impl Header {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER] {
        let kind: u16 = match self.kind {
            Kind::Hello => 1,
            Kind::Ack => 2,
            Kind::Data => 3,
            Kind::Reset => 4,
        };
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&kind.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.session.to_be_bytes());
        bytes[16..].copy_from_slice(&(self.length as u32).to_be_bytes());
        bytes
    }

    /// Reads a header; `None` for anything that is not one, to the bit.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<2>()?;
        let (pad, rest) = rest.split_first_chunk::<2>()?;
        let (session, rest) = rest.split_first_chunk::<8>()?;
        let (length, _) = rest.split_first_chunk::<4>()?;
        let kind = match u16::from_be_bytes(*kind) {
            1 => Kind::Hello,
            2 => Kind::Ack,
            3 => Kind::Data,
            4 => Kind::Reset,
            _ => return None,
        };
        let length = u32::from_be_bytes(*length) as usize;
        let longest = if kind == Kind::Data { MAX_PAYLOAD } else { 0 };
        (*magic == MAGIC && *pad == [0, 0] && length <= longest).then_some(Self {
            kind,
            session: u64::from_be_bytes(*session),
            length,
        })
    }
}

/// Turns received bytes into frames. What is no frame is skipped, byte by byte, up to the next that is one.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// A decoder that is in step.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where received bytes are appended. Call [`Decoder::next_frame`] until it gives `None` after each append:
    /// less than one frame stays behind.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Takes the next whole frame.
    pub fn next_frame(&mut self) -> Option<(Header, Bytes)> {
        loop {
            let header = Header::decode(self.buffer.first_chunk::<HEADER>()?);
            match header {
                Some(header) => {
                    if self.buffer.len() < HEADER + header.length {
                        return None;
                    }
                    self.buffer.advance(HEADER);
                    return Some((header, self.buffer.split_to(header.length).freeze()));
                }
                None => {
                    let skip = self.buffer.iter().skip(1).position(|&byte| byte == MAGIC[0]);
                    self.buffer.advance(skip.map_or(self.buffer.len(), |at| at + 1));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: Kind, session: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Header {
            kind,
            session,
            length: payload.len(),
        }
        .encode()
        .to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    fn frames_in(bytes: &[u8], piece: usize) -> Vec<(Header, Bytes)> {
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        for part in bytes.chunks(piece.max(1)) {
            decoder.input().extend_from_slice(part);
            while let Some(frame) = decoder.next_frame() {
                found.push(frame);
            }
        }
        found
    }

    proptest! {
        #[test]
        fn frames_come_back_however_the_bytes_are_cut(
            session: u64,
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6),
            piece in 1usize..500,
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|p| frame(Kind::Data, session, p)).collect();
            let found = frames_in(&bytes, piece);
            let got: Vec<&[u8]> = found.iter().map(|(_, payload)| &payload[..]).collect();
            let sent: Vec<&[u8]> = payloads.iter().map(|p| &p[..]).collect();
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn a_hello_is_found_after_a_frame_cut_anywhere_and_the_flush(
            length in 0usize..MAX_PAYLOAD, keep in 0usize..MAX_PAYLOAD + HEADER, piece in 1usize..70_000,
        ) {
            let mut bytes = frame(Kind::Data, 7, &vec![0xB7; length]);
            bytes.truncate(keep);
            bytes.resize(bytes.len() + MAX_PAYLOAD + HEADER, 0);
            bytes.extend(frame(Kind::Hello, 9, &[]));
            let found = frames_in(&bytes, piece);
            let hello = Header { kind: Kind::Hello, session: 9, length: 0 };
            prop_assert!(found.iter().any(|(header, _)| *header == hello));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic_or_hoard(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let mut decoder = Decoder::new();
            decoder.input().extend_from_slice(&bytes);
            while decoder.next_frame().is_some() {}
            prop_assert!(decoder.input().len() < MAX_PAYLOAD + HEADER);
        }
    }

    #[test]
    fn a_header_with_any_rule_broken_is_no_header() {
        let good = Header {
            kind: Kind::Data,
            session: 1,
            length: 5,
        }
        .encode();
        assert!(Header::decode(&good).is_some());
        for (at, value) in [(0, 0), (5, 4), (4, 1), (6, 1), (16, 1), (18, 0x80)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Header::decode(&bad), None, "byte {at}");
        }
        let long_hello = Header {
            kind: Kind::Hello,
            session: 1,
            length: 1,
        }
        .encode();
        assert_eq!(Header::decode(&long_hello), None);
    }
}
