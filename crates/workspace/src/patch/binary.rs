//! Binary data in a patch: two halves, each packed and in lines of base 85.
//!
//! git unpacks all of it into memory before it looks at the first byte, and a delta into as much as it says it comes to.
//! So it is unpacked here first, piece by piece, and counted.

use std::io::BufRead;

use super::bounds::{Budget, OF_A_BYTE};
use super::lines::Lines;
use crate::digest::{Digest, Format};
use crate::error::WorkspaceError;
use crate::inflate::Inflate;

/// git's digits, of which `~` is the last.
const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
/// Most bytes of a line.
pub(super) const LINE: usize = 52;

/// Reads both halves: the new version from the old one, and back. Gives the size of the new version, and where its data
/// begins if that is a delta; `id` is its name.
pub(super) fn read<R: BufRead>(
    lines: &mut Lines<R>,
    budget: &mut Budget,
    path: &[u8],
    id: Option<&[u8]>,
) -> Result<(u64, Option<Data>), WorkspaceError> {
    let found = half(lines, budget, path, id)?;
    half(lines, budget, path, None)?;
    Ok(found)
}

/// Where binary data is in a patch, and how long it is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) place: u64,
    pub(super) length: u64,
}

fn half<R: BufRead>(
    lines: &mut Lines<R>,
    budget: &mut Budget,
    path: &[u8],
    id: Option<&[u8]>,
) -> Result<(u64, Option<Data>), WorkspaceError> {
    let (is_delta, length) = match lines.after(b"literal ")? {
        Some(length) => (false, length),
        None => match lines.after(b"delta ")? {
            Some(length) => (true, length),
            None => return Err(lines.bad("`literal` or `delta` was expected")),
        },
    };
    if length.is_empty() || length.len() > 15 || !length.iter().all(u8::is_ascii_digit) {
        return Err(lines.bad("the length of binary data cannot be read"));
    }
    let length: u64 = String::from_utf8_lossy(&length).parse().unwrap_or(u64::MAX);
    budget.spend(length.saturating_mul(OF_A_BYTE), path)?;
    let place = lines.place();
    let mut digest = id.filter(|_| !is_delta).map(|id| {
        let format = if id.len() == 40 {
            Format::Sha1
        } else {
            Format::Sha256
        };
        let mut digest = format.digest();
        digest.update(format!("blob {length}\0").as_bytes());
        (digest, id)
    });
    let mut inflate = Inflate::new();
    inflate.begin(length);
    let mut made = length;
    let mut counted = !is_delta;
    loop {
        let Some(line) = lines.next()? else {
            return Err(lines.bad("it ends in the middle of binary data"));
        };
        if line.is_empty() {
            break;
        }
        let Some((bytes, count)) = decode(line) else {
            return Err(lines.bad("a line of binary data is none"));
        };
        let digest: Option<&mut Digest> = digest.as_mut().map(|(digest, _)| digest);
        let taken = inflate.take(&bytes[..count], digest);
        if taken.map_err(|why| lines.bad(format!("binary data {why}")))? != count {
            return Err(lines.bad("binary data goes on after its end"));
        }
        if !counted && let Some((from, to)) = inflate.delta() {
            // Whatever it does: as much is taken for it, and the file that it is made from is read whole.
            budget.spend(from, path)?;
            budget.spend(to, path)?;
            (made, counted) = (to, true);
        }
    }
    if !inflate.ended() {
        return Err(lines.bad("binary data is shorter than it says"));
    }
    if !counted {
        return Err(lines.bad("the sizes of a delta cannot be read"));
    }
    if let Some((digest, id)) = digest {
        let found: String = digest.finish().iter().map(|byte| format!("{byte:02x}")).collect();
        if !id.eq_ignore_ascii_case(found.as_bytes()) {
            return Err(lines.bad("binary data is another than its id says"));
        }
    }
    Ok((made, is_delta.then_some(Data { place, length })))
}

/// A letter for the number of bytes, then five digits for every four of them.
pub(super) fn decode(line: &[u8]) -> Option<([u8; LINE], usize)> {
    let (&letter, digits) = line.split_first()?;
    let count = match letter {
        b'A'..=b'Z' => letter - b'A' + 1,
        b'a'..=b'z' => letter - b'a' + 27,
        _ => return None,
    };
    let count = usize::from(count);
    if digits.len() != count.div_ceil(4) * 5 {
        return None;
    }
    let mut bytes = [0; LINE];
    for (five, four) in digits.chunks_exact(5).zip(bytes.chunks_exact_mut(4)) {
        let mut number = 0_u64;
        for digit in five {
            number = number * 85 + u64::from(value(*digit)?);
        }
        four.copy_from_slice(&u32::try_from(number).ok()?.to_be_bytes());
    }
    Some((bytes, count))
}

fn value(digit: u8) -> Option<u8> {
    const VALUES: [u8; 256] = {
        let mut values = [u8::MAX; 256];
        let mut at = 0;
        while at < DIGITS.len() {
            #[expect(clippy::cast_possible_truncation, reason = "85 digits")]
            {
                values[DIGITS[at] as usize] = at as u8;
            }
            at += 1;
        }
        values
    };
    Some(VALUES[usize::from(digit)]).filter(|value| *value != u8::MAX)
}
