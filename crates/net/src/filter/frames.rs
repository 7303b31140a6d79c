//! Ethernet frames out of a byte stream, each after its length in 4 bytes, highest first.

use std::io::{self, Read};

use crate::packet::PREFIX;

/// No frame is longer, on either side.
pub(super) const LONGEST: usize = 128 << 10;

/// Reads a stream in large pieces and hands out whole frames.
pub(super) struct Frames<R> {
    stream: R,
    buffer: Vec<u8>,
    /// What is in the buffer and has not been handed out.
    start: usize,
    end: usize,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: vec![0; 2 * LONGEST],
            start: 0,
            end: 0,
        }
    }

    /// Where it read from.
    pub(super) fn into_stream(self) -> R {
        self.stream
    }

    /// Waits until there is at least one frame. `false`: the stream has ended.
    pub(super) fn wait(&mut self) -> io::Result<bool> {
        while self.whole(self.start)?.is_none() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let read = match self.stream.read(&mut self.buffer[self.end..]) {
                // A VMM that was killed leaves unread bytes behind.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                return Ok(false);
            }
            self.end += read;
        }
        Ok(true)
    }

    /// The next frame that has been read whole, with its length before it.
    pub(super) fn next(&mut self) -> io::Result<Option<&mut [u8]>> {
        let Some(end) = self.whole(self.start)? else {
            return Ok(None);
        };
        let frame = &mut self.buffer[self.start..end];
        self.start = end;
        Ok(Some(frame))
    }

    /// All frames that have been read whole, with their lengths before them.
    pub(super) fn all(&mut self) -> io::Result<&[u8]> {
        let mut end = self.start;
        while let Some(next) = self.whole(end)? {
            end = next;
        }
        let frames = &self.buffer[self.start..end];
        self.start = end;
        Ok(frames)
    }

    /// Where the frame at `start` ends, if all of it has been read.
    fn whole(&self, start: usize) -> io::Result<Option<usize>> {
        let read = &self.buffer[start..self.end];
        let Some(prefix) = read.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > LONGEST - PREFIX {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        let end = PREFIX + length;
        Ok((read.len() >= end).then_some(start + end))
    }
}

/// Each of some whole frames, without its length.
pub(super) fn each(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(*frames.first_chunk::<PREFIX>()?) as usize;
        let frame = frames.get(PREFIX..PREFIX + length)?;
        frames = &frames[PREFIX + length..];
        Some(frame)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A stream that comes in pieces.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.first_mut() else {
                return Ok(0);
            };
            let length = piece.len().min(into.len());
            into[..length].copy_from_slice(&piece[..length]);
            piece.drain(..length);
            if piece.is_empty() {
                self.0.remove(0);
            }
            Ok(length)
        }
    }

    fn framed(frames: &[Vec<u8>]) -> Vec<u8> {
        frames
            .iter()
            .flat_map(|frame| [&(frame.len() as u32).to_be_bytes(), &frame[..]].concat())
            .collect()
    }

    fn pieces(stream: &[u8], size: usize) -> Pieces {
        Pieces(stream.chunks(size).map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn a_frame_that_cannot_be_is_an_error_and_half_a_frame_is_the_end() {
        let mut frames = Frames::new(&[0xff, 0, 0, 0, 1][..]);
        assert!(frames.wait().is_err());
        let mut frames = Frames::new(&[0, 0, 0, 9, 1][..]);
        assert!(!frames.wait().unwrap());
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
            sent: Vec<Vec<u8>>, large in 0..LONGEST - PREFIX, size in 1..5000_usize,
        ) {
            let mut sent = sent;
            sent.push(vec![7; large]);
            let stream = framed(&sent);
            let mut frames = Frames::new(pieces(&stream, size));
            let mut received = Vec::new();
            while frames.wait().unwrap() {
                while let Some(frame) = frames.next().unwrap() {
                    received.push(frame[PREFIX..].to_vec());
                }
            }
            prop_assert_eq!(&received, &sent);

            let mut frames = Frames::new(pieces(&stream, size));
            let mut together: Vec<u8> = Vec::new();
            while frames.wait().unwrap() {
                together.extend(frames.all().unwrap());
            }
            prop_assert_eq!(each(&together).map(<[u8]>::to_vec).collect::<Vec<_>>(), received);
            prop_assert_eq!(together, stream);
        }

        #[test]
        fn no_stream_makes_it_panic(stream: Vec<u8>, size in 1..50_usize) {
            let mut frames = Frames::new(pieces(&stream, size));
            while let Ok(true) = frames.wait() {
                while let Ok(Some(_)) = frames.next() {}
            }
        }
    }
}
