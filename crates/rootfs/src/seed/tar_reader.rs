//! Seeds that are tars.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Write};

use lzma_rust2::XzReader;
use tar::EntryType;
use tarball::{Archive, Kind, shown};

use super::writer::{About, Writer};
use super::{SeedError, read_up_to};

/// Where a tar says what it is.
const MAGIC_AT: usize = 257;
const MAGIC: &[u8] = b"ustar";
/// Window that a packer may have used: what `zstd --long` takes.
const WINDOW_LOG: u32 = 27;
const MEMORY_KIB: u32 = 192 << 10;

pub(super) fn read(mut file: File, writer: &mut Writer<impl Write>) -> Result<(), SeedError> {
    let mut head = [0; MAGIC_AT + MAGIC.len()];
    let filled = read_up_to(&mut file, &mut head).map_err(SeedError::Read)?;
    let head = &head[..filled];
    let whole = BufReader::new(Cursor::new(head.to_vec()).chain(file));
    match head {
        [0x1f, 0x8b, 8, ..] => members(flate2::bufread::MultiGzDecoder::new(whole), writer),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::Decoder::with_buffer(whole).map_err(SeedError::Read)?;
            decoder.window_log_max(WINDOW_LOG).map_err(SeedError::Read)?;
            members(decoder, writer)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            members(XzReader::new_mem_limit(whole, true, MEMORY_KIB), writer)
        }
        head if head.get(MAGIC_AT..) == Some(MAGIC) => members(whole, writer),
        _ => Err(SeedError::Unknown),
    }
}

fn members(source: impl Read, writer: &mut Writer<impl Write>) -> Result<(), SeedError> {
    let mut archive = Archive::new(source);
    while let Some(member) = archive.next().map_err(SeedError::Tar)? {
        let entry = member.entry;
        let about = About {
            mode: entry.mode,
            modified: entry.modified,
        };
        match entry.kind {
            Kind::Directory => writer.folder(&entry.path, about)?,
            Kind::File { size } => {
                let data = archive.content(member.map);
                writer.file(&entry.path, about, size, data)?;
            }
            Kind::Symlink { target } => writer.link(EntryType::Symlink, &entry.path, &target, about)?,
            Kind::HardLink { target } => writer.link(EntryType::Link, &entry.path, &target, about)?,
            Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo | Kind::Socket => {
                return Err(SeedError::Special {
                    path: shown(&entry.path),
                });
            }
        }
    }
    Ok(())
}
