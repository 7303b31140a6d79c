//! Binary data that is made from an older version, held to the name of the version that it claims to be.
//!
//! git does not look at the data where it has an object of that name. So it is made here as well, where git has one, and
//! never held whole: pieces go into a hash.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::binary::{Data, decode};
use super::lines::Lines;
use crate::digest::Format;
use crate::error::{WorkspaceError, shown};
use crate::git::Git;
use crate::owner::open_own;
use crate::tracked::{all, fed};

/// A new version by what it is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    path: Vec<u8>,
    /// Names of both versions.
    old: String,
    new: String,
    data: Data,
}

impl Delta {
    pub(super) fn of(path: &[u8], (old, new): (&[u8], &[u8]), data: Data) -> Self {
        let name = |id: &[u8]| String::from_utf8_lossy(id).to_ascii_lowercase();
        Self {
            path: path.to_vec(),
            old: name(old),
            new: name(new),
            data,
        }
    }
}

/// Refuses those that are not what they claim to be, where this git has an object of the name.
pub(super) fn check(git: &Git, deltas: &[Delta], file: &Path) -> Result<(), WorkspaceError> {
    if deltas.is_empty() {
        return Ok(());
    }
    let names: String = deltas.iter().map(|delta| format!("{}\n", delta.new)).collect();
    let kinds = ["cat-file", "--batch-check=%(objecttype)", "--buffer"];
    let kinds = fed(git, "look for versions", &kinds, names.into(), all)?;
    let kinds: Vec<&[u8]> = kinds.split(|byte| *byte == b'\n').collect();
    if kinds.len() != deltas.len() + 1 {
        return Err(WorkspaceError::Answer("the kinds of some objects"));
    }
    let known = deltas
        .iter()
        .zip(kinds)
        .filter(|(_, kind)| !kind.ends_with(b" missing"));
    for (delta, _) in known {
        let claimed = made(git, delta, file)?;
        if claimed.is_none_or(|name| name != delta.new) {
            return Err(WorkspaceError::Patch {
                line: 0,
                why: format!(
                    "`{}`: binary data is another than its id says",
                    shown(&delta.path)
                ),
            });
        }
    }
    Ok(())
}

/// The name of what a delta makes; none of one that does not fit what it is made from.
fn made(git: &Git, delta: &Delta, file: &Path) -> Result<Option<String>, WorkspaceError> {
    let old = if delta.old.bytes().all(|digit| digit == b'0') {
        Vec::new()
    } else {
        let output = git.output("read a file's older version", ["cat-file", "blob", &delta.old])?;
        if !output.status.success() {
            // git has nothing that it could be applied to.
            let files = vec![shown(&delta.path)];
            return Err(WorkspaceError::Conflict { files });
        }
        output.stdout
    };
    let bytes = unpacked(file, delta.data)?;
    let mut bytes = bytes.as_slice();
    if size(&mut bytes) != Some(old.len() as u64) {
        return Ok(None);
    }
    let Some(whole) = size(&mut bytes) else {
        return Ok(None);
    };
    let format = match delta.new.len() {
        40 => Format::Sha1,
        _ => Format::Sha256,
    };
    let mut digest = format.digest();
    digest.update(format!("blob {whole}\0").as_bytes());
    let mut left = whole;
    while !bytes.is_empty() {
        let Some(piece) = piece(&mut bytes, &old) else {
            return Ok(None);
        };
        let Some(rest) = left.checked_sub(piece.len() as u64) else {
            return Ok(None);
        };
        left = rest;
        digest.update(piece);
    }
    let name = digest.finish().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((left == 0).then_some(name))
}

/// The data, which was unpacked before and has the length that it says.
fn unpacked(file: &Path, data: Data) -> Result<Vec<u8>, WorkspaceError> {
    let cannot = || WorkspaceError::host("read", "the patch");
    let mut patch = open_own(file).map_err(cannot())?;
    patch.seek(SeekFrom::Start(data.place)).map_err(cannot())?;
    let mut lines = Lines::of(BufReader::new(patch));
    let mut packed = Vec::new();
    while let Some(line) = lines.next()?.filter(|line| !line.is_empty()) {
        let Some((bytes, count)) = decode(line) else {
            return Err(cannot()(io::ErrorKind::InvalidData.into()));
        };
        packed.extend_from_slice(&bytes[..count]);
    }
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed.as_slice())
        .take(data.length)
        .read_to_end(&mut bytes)
        .map_err(cannot())?;
    Ok(bytes)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// A size as a delta begins with two of.
fn size(bytes: &mut &[u8]) -> Option<u64> {
    let mut size = 0_u64;
    for shift in (0..63).step_by(7) {
        let byte = byte(bytes)?;
        size |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(size);
        }
    }
    None
}

/// The next piece: of the older version, or of the delta itself (gitformat-pack(5)).
fn piece<'a>(bytes: &mut &'a [u8], old: &'a [u8]) -> Option<&'a [u8]> {
    let kind = byte(bytes)?;
    if kind & 0x80 == 0 {
        let count = usize::from(kind);
        // None begins with zero.
        if count == 0 || count > bytes.len() {
            return None;
        }
        let (piece, rest) = bytes.split_at(count);
        *bytes = rest;
        return Some(piece);
    }
    let mut number = |bits: std::ops::Range<u32>| {
        let mut number = 0_usize;
        for (shift, bit) in bits.enumerate() {
            if kind >> bit & 1 == 1 {
                number |= usize::from(byte(bytes)?) << (8 * shift);
            }
        }
        Some(number)
    };
    let (begin, count) = (number(0..4)?, number(4..7)?);
    let count = if count == 0 { 0x10000 } else { count };
    old.get(begin..begin.checked_add(count)?)
}
