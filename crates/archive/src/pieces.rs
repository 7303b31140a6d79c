//! A stream that comes in pieces, read without copying them together.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};

/// Reads what `next` gives, piece by piece, until it gives `None`.
#[derive(Debug)]
pub struct Pieces<F> {
    next: F,
    piece: Bytes,
    ended: bool,
}

impl<F: FnMut() -> io::Result<Option<Bytes>>> Pieces<F> {
    /// A reader of the pieces that `next` gives.
    pub fn new(next: F) -> Self {
        Self {
            next,
            piece: Bytes::new(),
            ended: false,
        }
    }
}

impl<F: FnMut() -> io::Result<Option<Bytes>>> BufRead for Pieces<F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() && !self.ended {
            match (self.next)()? {
                Some(piece) => self.piece = piece,
                None => self.ended = true,
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, count: usize) {
        self.piece.advance(count);
    }
}

impl<F: FnMut() -> io::Result<Option<Bytes>>> Read for Pieces<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
