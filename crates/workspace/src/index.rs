//! The index of a pack, made while the pack goes by, so that the guest has neither to unpack nor to hash what it gets.
//!
//! Both formats are those of gitformat-pack(5); the pack holds whole objects only, no deltas. Each object's id is
//! computed here from what it says, as `git index-pack` would: the repository is not believed.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::digest::{Digest, Format};

/// Offsets from here on lie in a table of their own.
const FAR: u64 = 1 << 31;
/// Objects are unpacked in pieces of this size, and thrown away.
const PIECE: usize = 64 << 10;

/// An object: its id, the checksum of its packed bytes, where they begin.
type Entry = (Vec<u8>, u32, u64);

/// An index.
pub(crate) struct Index {
    /// The checksum of its pack, which git names packs by.
    pub(crate) pack: String,
    pub(crate) text: Vec<u8>,
}

/// What comes next in the pack.
enum Next {
    /// "PACK", version, number of objects.
    Head,
    /// Kind and size of an object.
    Kind,
    /// The packed bytes of an object of this many.
    Body { size: u64, digest: Digest },
    /// The checksum of all.
    Trailer,
    /// Nothing.
    End,
}

/// Reads a pack piece by piece.
pub(crate) struct Indexer {
    format: Format,
    next: Next,
    /// Of a head, a kind or the trailer, as much as is there.
    begun: Vec<u8>,
    objects: u32,
    at: u64,
    crc: Crc,
    begin: u64,
    inflate: Decompress,
    all: Digest,
    entries: Vec<Entry>,
    piece: Vec<u8>,
    refused: Option<&'static str>,
}

impl Indexer {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            next: Next::Head,
            begun: Vec::new(),
            objects: 0,
            at: 0,
            crc: Crc::new(),
            begin: 0,
            inflate: Decompress::new(true),
            all: format.digest(),
            entries: Vec::new(),
            piece: vec![0; PIECE],
            refused: None,
        }
    }

    /// Reads on.
    ///
    /// # Errors
    /// It is no pack of whole objects, or damaged; what is wrong is kept.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let taken = self.take_all(bytes);
        self.refused = self.refused.or(taken.err());
        taken
    }

    /// What was wrong with it.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        self.refused
    }

    fn take_all(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            let taken = match &mut self.next {
                Next::Head => self.head(bytes)?,
                Next::Kind => self.kind(bytes)?,
                Next::Body { .. } => self.body(bytes)?,
                Next::Trailer => self.trailer(bytes)?,
                Next::End => return Err("there is more than a pack"),
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn head(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let taken = bytes.len().min(12 - self.begun.len());
        self.begun.extend_from_slice(&bytes[..taken]);
        self.pass(&bytes[..taken]);
        if let Some((b"PACK\0\0\0\x02", count)) = self.begun.split_first_chunk::<8>()
            && let Ok(count) = count.try_into()
        {
            self.objects = u32::from_be_bytes(count);
            self.begin_entry();
        } else if self.begun.len() == 12 {
            return Err("it is no pack");
        }
        Ok(taken)
    }

    fn kind(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let last = bytes.iter().position(|byte| byte & 0x80 == 0);
        let taken = last.map_or(bytes.len(), |last| last + 1);
        self.begun.extend_from_slice(&bytes[..taken]);
        self.pass(&bytes[..taken]);
        // Four bits in the first byte, seven in each further one.
        if self.begun.len() > 9 {
            return Err("an object is too large");
        }
        if last.is_some() {
            let kind = match (self.begun[0] >> 4) & 7 {
                1 => "commit",
                2 => "tree",
                3 => "blob",
                4 => "tag",
                _ => return Err("it holds what is no whole object"),
            };
            let mut size = u64::from(self.begun[0] & 0xf);
            for (byte, shift) in self.begun[1..].iter().zip((4..).step_by(7)) {
                size |= u64::from(byte & 0x7f) << shift;
            }
            let mut digest = self.format.digest();
            digest.update(format!("{kind} {size}\0").as_bytes());
            self.inflate.reset(true);
            self.next = Next::Body { size, digest };
        }
        Ok(taken)
    }

    fn body(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let Next::Body { size, digest } = &mut self.next else {
            return Ok(0);
        };
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(bytes, &mut self.piece, FlushDecompress::None)
            .map_err(|_| "an object cannot be unpacked")?;
        let written = moved(written, self.inflate.total_out());
        let taken = moved(read, self.inflate.total_in());
        digest.update(&self.piece[..written]);
        if self.inflate.total_out() > *size {
            return Err("an object is longer than it says");
        }
        let ended = match status {
            Status::StreamEnd if self.inflate.total_out() < *size => {
                return Err("an object is shorter than it says");
            }
            Status::StreamEnd => Some(digest.clone().finish()),
            Status::Ok | Status::BufError if taken == 0 && written == 0 => {
                return Err("an object cannot be unpacked");
            }
            Status::Ok | Status::BufError => None,
        };
        self.pass(&bytes[..taken]);
        if let Some(id) = ended {
            self.entries.push((id, self.crc.sum(), self.begin));
            self.begin_entry();
        }
        Ok(taken)
    }

    fn trailer(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let taken = bytes.len().min(self.format.length() - self.begun.len());
        self.begun.extend_from_slice(&bytes[..taken]);
        if self.begun.len() == self.format.length() {
            if self.begun != self.all.clone().finish() {
                return Err("its checksum is wrong");
            }
            self.next = Next::End;
        }
        Ok(taken)
    }

    fn begin_entry(&mut self) {
        self.begun.clear();
        self.crc.reset();
        self.begin = self.at;
        self.next = if self.entries.len() as u64 == u64::from(self.objects) {
            Next::Trailer
        } else {
            Next::Kind
        };
    }

    /// Bytes that belong to the pack's checksum and to the object's.
    fn pass(&mut self, bytes: &[u8]) {
        self.all.update(bytes);
        self.crc.update(bytes);
        self.at += bytes.len() as u64;
    }

    /// The index, as a file of the second version; nothing if the pack had no end.
    pub(crate) fn index(&mut self) -> Option<Index> {
        if !matches!(self.next, Next::End) {
            return None;
        }
        self.entries.sort_unstable();
        let mut text = b"\xfftOc\0\0\0\x02".to_vec();
        let mut below = 0_usize;
        for first in 0..=255_u8 {
            below += self.entries[below..]
                .iter()
                .take_while(|(id, ..)| id.first() <= Some(&first))
                .count();
            text.extend(u32::try_from(below).unwrap_or(u32::MAX).to_be_bytes());
        }
        for (id, ..) in &self.entries {
            text.extend_from_slice(id);
        }
        for (_, crc, _) in &self.entries {
            text.extend(crc.to_be_bytes());
        }
        let mut far = Vec::new();
        for (.., offset) in &self.entries {
            let near = u32::try_from(*offset).ok().filter(|_| *offset < FAR);
            text.extend(
                near.unwrap_or_else(|| {
                    far.push(*offset);
                    (1 << 31) | u32::try_from(far.len() - 1).unwrap_or(0)
                })
                .to_be_bytes(),
            );
        }
        for offset in far {
            text.extend(offset.to_be_bytes());
        }
        text.extend_from_slice(&self.begun);
        let mut digest = self.format.digest();
        digest.update(&text);
        text.extend(digest.finish());
        let pack = self.begun.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Index { pack, text })
    }
}

fn moved(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(0)
}

/// A pack on its way, and the index that becomes of it.
pub(crate) struct Watched<R> {
    pub(crate) pack: R,
    pub(crate) indexer: Arc<Mutex<Indexer>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.pack.read(bytes)?;
        let mut indexer = self.indexer.lock().unwrap_or_else(PoisonError::into_inner);
        indexer.take(&bytes[..read]).map_err(io::Error::other)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
