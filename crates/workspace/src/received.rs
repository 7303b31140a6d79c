//! A guest's pack, read before git reads it: how much its objects come to once they are unpacked.
//!
//! git takes as much memory for an object, and for each that it is a delta of, as these say that they are. So every
//! size is read here first, each stream is unpacked in pieces to see whether it is that long, and all of it is counted
//! (gitformat-pack(5)). What the objects are git finds out: `index-pack --strict`.

use std::io::BufRead;

use crate::error::WorkspaceError;
use crate::inflate::Inflate;

/// Most bytes of one object, or of one that it is made from.
const LARGEST_OBJECT: u64 = 256 << 20;
/// Most bytes that all objects hold together.
pub(crate) const LARGEST_CONTENT: u64 = 1 << 30;
/// Most deltas that one object is made by, one upon the other: each look at it takes all of them. The guest is asked for no
/// more.
const DEEPEST: u32 = 50;
/// Most objects. git keeps some hundred bytes of each.
const MOST_OBJECTS: u64 = 1_000_000;

/// Reads a pack to its end; `id` is how many bytes a name of an object has.
///
/// # Errors
/// [`WorkspaceError::TooMuch`], or [`WorkspaceError::Objects`] where it is no pack.
pub(crate) fn check(pack: impl BufRead, id: usize) -> Result<(), WorkspaceError> {
    let mut pack = Reader {
        pack,
        at: 0,
        deltas: Vec::new(),
        number: 0,
        objects: 0,
    };
    let head: [u8; 12] = pack.take()?;
    let Some((b"PACK\0\0\0\x02", count)) = head.split_first_chunk::<8>() else {
        return Err(pack.bad("it is no pack"));
    };
    pack.objects = count.iter().fold(0, |count, byte| count << 8 | u64::from(*byte));
    if pack.objects > MOST_OBJECTS {
        return Err(pack.bad("it has too many objects"));
    }
    let mut inflate = Inflate::new();
    let mut whole = 0_u64;
    for number in 1..=pack.objects {
        pack.number = number;
        pack.object(&mut inflate, &mut whole)?;
    }
    for _ in 0..id {
        pack.byte()?;
    }
    match pack.fill()?.is_empty() {
        true => Ok(()),
        false => Err(pack.bad("there is more than a pack")),
    }
}

struct Reader<R> {
    pack: R,
    /// How many bytes have been read.
    at: u64,
    /// Where each delta begins, and how many are under it and with it.
    deltas: Vec<(u64, u32)>,
    /// Which object is read, of how many.
    number: u64,
    objects: u64,
}

impl<R: BufRead> Reader<R> {
    fn object(&mut self, inflate: &mut Inflate, whole: &mut u64) -> Result<(), WorkspaceError> {
        let begin = self.at;
        let mut byte = self.byte()?;
        let kind = (byte >> 4) & 7;
        let mut size = u64::from(byte & 0xf);
        for shift in (4..60).step_by(7) {
            if byte & 0x80 == 0 {
                break;
            }
            byte = self.byte()?;
            size |= u64::from(byte & 0x7f) << shift;
        }
        if byte & 0x80 != 0 {
            return Err(self.bad("its size cannot be read"));
        }
        match kind {
            1..=4 => {}
            6 => self.based(begin)?,
            // By name: the guest was asked for places.
            7 => return Err(self.bad("it names what it is made from in a way that was not asked for")),
            _ => return Err(self.bad("it is of no kind that there is")),
        }
        self.spend(size, size, whole)?;
        inflate.begin(size);
        let mut counted = kind != 6;
        while !inflate.ended() {
            let bytes = self.fill()?;
            if bytes.is_empty() {
                return Err(self.bad("it breaks off"));
            }
            let taken = inflate.take(bytes, None).map_err(|why| self.bad(why))?;
            self.consume(taken);
            if !counted && let Some((from, to)) = inflate.delta() {
                // What it is made from is counted where that is.
                self.spend(from, 0, whole)?;
                self.spend(to, to, whole)?;
                counted = true;
            }
        }
        if counted {
            Ok(())
        } else {
            Err(self.bad("the sizes of a delta cannot be read"))
        }
    }

    fn spend(&self, size: u64, more: u64, whole: &mut u64) -> Result<(), WorkspaceError> {
        *whole = whole.saturating_add(more);
        let (bytes, limit) = if size > LARGEST_OBJECT {
            (size, LARGEST_OBJECT)
        } else if *whole > LARGEST_CONTENT {
            (*whole, LARGEST_CONTENT)
        } else {
            return Ok(());
        };
        Err(WorkspaceError::TooMuch {
            what: "commits",
            bytes,
            at: format!("object {} of {}", self.number, self.objects),
            limit,
        })
    }

    fn fill(&mut self) -> Result<&[u8], WorkspaceError> {
        self.pack
            .fill_buf()
            .map_err(WorkspaceError::host("read", "the pack"))
    }

    fn byte(&mut self) -> Result<u8, WorkspaceError> {
        let Some(byte) = self.fill()?.first().copied() else {
            return Err(self.bad("it breaks off"));
        };
        self.consume(1);
        Ok(byte)
    }

    fn consume(&mut self, bytes: usize) {
        self.pack.consume(bytes);
        self.at = self.at.saturating_add(bytes as u64);
    }

    /// Reads how far before a delta the object is that it is made from, and counts how many deltas that makes.
    fn based(&mut self, begin: u64) -> Result<(), WorkspaceError> {
        let mut byte = self.byte()?;
        let mut back = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            back = back.saturating_add(1).saturating_mul(128) | u64::from(byte & 0x7f);
        }
        let base = begin.saturating_sub(back);
        let under = self.deltas.binary_search_by_key(&base, |(place, _)| *place);
        let depth = 1 + under.map_or(0, |found| self.deltas[found].1);
        if depth > DEEPEST {
            return Err(self.bad("it is made of too many deltas"));
        }
        self.deltas.push((begin, depth));
        Ok(())
    }

    fn take<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], WorkspaceError> {
        let mut bytes = [0; LENGTH];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    fn bad(&self, why: &str) -> WorkspaceError {
        let place = match self.number {
            0 => String::new(),
            number => format!(", object {number} of {}", self.objects),
        };
        WorkspaceError::Objects {
            why: format!("their pack{place}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
