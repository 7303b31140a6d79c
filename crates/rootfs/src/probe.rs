//! Which file system a file holds, by its superblock: of a file of the user's, before a guest is given it.
//!
//! EROFS: Linux, `fs/erofs/erofs_fs.h`. ext4: Linux, `Documentation/filesystems/ext4/super.rst`. Both superblocks begin
//! at byte 1024. Nothing but they is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

const SUPERBLOCK: u64 = 1024;
const LENGTH: usize = 1024;
const EROFS_MAGIC: u32 = 0xe0f5_e1e2;
const EXT4_MAGIC: u16 = 0xef53;
/// The journal has to be replayed.
const EXT4_RECOVER: u32 = 0x4;
/// It has extents: ext4, not one of its predecessors.
const EXT4_EXTENTS: u32 = 0x40;
/// Blocks are counted with 64 bits.
const EXT4_64BIT: u32 = 0x80;

/// A file system that can be an image's root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileSystem {
    /// Read-only by nature; what banger itself writes.
    #[default]
    Erofs,
    /// Mounted read-only.
    Ext4,
}

impl FileSystem {
    /// Its name, as mount(8) has it; the ending of its files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Erofs => "erofs",
            Self::Ext4 => "ext4",
        }
    }
}

/// Why a file cannot be a root file system.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It holds something else.
    #[error("it holds {found}, not an EROFS or ext4 file system")]
    Other {
        /// What it looks like.
        found: &'static str,
    },
    /// It is shorter than its file system.
    #[error("it is cut short: it has {bytes} bytes, its file system {expected}")]
    Cut {
        /// Length of the file.
        bytes: u64,
        /// Length that the superblock tells.
        expected: u64,
    },
    /// It was in use when it was copied.
    #[error("its ext4 was not unmounted cleanly")]
    Dirty,
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
}

impl ProbeError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Other { found: PARTITIONS } => "give the file system alone, without the partition table",
            Self::Dirty => "replay its journal first: e2fsck -p FILE",
            _ => return None,
        })
    }
}

const PARTITIONS: &str = "a partition table";
/// How other things begin that users have at hand.
const BEGINNINGS: [(&[u8], &str); 6] = [
    (b"hsqs", "a squashfs"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\xfd7zXZ", "xz data"),
    (b"KDMV", "a VMDK disk"),
    (b"conectix", "a VHD disk"),
];

/// Looks which file system a file holds.
///
/// # Errors
/// [`ProbeError`].
pub fn probe(file: &File) -> Result<FileSystem, ProbeError> {
    let bytes = file.metadata().map_err(ProbeError::Read)?.len();
    let mut head = vec![0; SUPERBLOCK as usize + LENGTH];
    let length = head.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
    file.read_exact_at(&mut head[..length], 0)
        .map_err(ProbeError::Read)?;
    let superblock = &head[SUPERBLOCK as usize..];
    let (found, expected) = if u32_at(superblock, 0) == EROFS_MAGIC {
        (FileSystem::Erofs, erofs_length(superblock))
    } else if u16_at(superblock, 0x38) == EXT4_MAGIC {
        if u32_at(superblock, 0x60) & EXT4_EXTENTS == 0 {
            return Err(ProbeError::Other {
                found: "an ext2 or ext3",
            });
        }
        if u32_at(superblock, 0x60) & EXT4_RECOVER != 0 {
            return Err(ProbeError::Dirty);
        }
        (FileSystem::Ext4, ext4_length(superblock))
    } else {
        return Err(ProbeError::Other {
            found: other(&head, bytes),
        });
    };
    if expected > bytes {
        return Err(ProbeError::Cut { bytes, expected });
    }
    Ok(found)
}

fn erofs_length(superblock: &[u8]) -> u64 {
    let block = 1_u64.checked_shl(u32::from(superblock[12])).unwrap_or(u64::MAX);
    u64::from(u32_at(superblock, 36)).saturating_mul(block)
}

fn ext4_length(superblock: &[u8]) -> u64 {
    let block = 1024_u64.checked_shl(u32_at(superblock, 0x18)).unwrap_or(u64::MAX);
    let high = if u32_at(superblock, 0x60) & EXT4_64BIT == 0 {
        0
    } else {
        u64::from(u32_at(superblock, 0x150))
    };
    (high << 32 | u64::from(u32_at(superblock, 4))).saturating_mul(block)
}

fn other(head: &[u8], bytes: u64) -> &'static str {
    let begins = BEGINNINGS
        .iter()
        .find(|(beginning, _)| head.starts_with(beginning));
    match begins {
        _ if bytes == 0 => "nothing",
        Some((_, name)) => name,
        None if &head[512..520] == b"EFI PART" || head[510..512] == [0x55, 0xaa] => PARTITIONS,
        None => "something",
    }
}

fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([data[at], data[at + 1]])
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::erofs::{Builder, Entry, Options};

    fn holding(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn erofs() -> File {
        let mut file = tempfile::tempfile().unwrap();
        let mut builder = Builder::new(&mut file, Options::default()).unwrap();
        builder.add(&Entry::file(b"a", 20_000), &[7; 20_000][..]).unwrap();
        builder.finish().unwrap();
        file
    }

    fn ext4(options: &[&str]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let made = Command::new("mke2fs")
            .args(["-q", "-F"])
            .args(options)
            .arg(file.path())
            .arg("8M")
            .output()
            .expect("mke2fs is installed");
        assert!(made.status.success(), "{made:?}");
        file
    }

    #[test]
    fn a_root_file_system_is_known_by_its_superblock() {
        assert_eq!(probe(&erofs()).unwrap(), FileSystem::Erofs);
        for options in [
            &["-t", "ext4"][..],
            &["-t", "ext4", "-O", "64bit"],
            &["-t", "ext4", "-b", "1024"],
        ] {
            assert_eq!(
                probe(ext4(options).as_file()).unwrap(),
                FileSystem::Ext4,
                "{options:?}"
            );
        }
    }

    #[test]
    fn what_is_no_whole_and_clean_root_file_system_is_refused_and_says_what_it_is() {
        let refused = |file: &File| probe(file).unwrap_err().to_string();
        let length = |file: &File| file.metadata().unwrap().len();
        let cut = erofs();
        let whole = length(&cut);
        cut.set_len(whole - 4096).unwrap();
        assert_eq!(
            refused(&cut),
            format!(
                "it is cut short: it has {} bytes, its file system {whole}",
                whole - 4096
            )
        );
        let cut = ext4(&["-t", "ext4"]);
        cut.as_file().set_len(5 << 20).unwrap();
        assert_eq!(
            refused(cut.as_file()),
            "it is cut short: it has 5242880 bytes, its file system 8388608"
        );
        let dirty = ext4(&["-t", "ext4"]);
        let mut flags = [0; 4];
        dirty.as_file().read_exact_at(&mut flags, 1024 + 0x60).unwrap();
        let flags = u32::from_le_bytes(flags) | EXT4_RECOVER;
        dirty
            .as_file()
            .write_all_at(&flags.to_le_bytes(), 1024 + 0x60)
            .unwrap();
        let error = probe(dirty.as_file()).unwrap_err();
        assert_eq!(error.to_string(), "its ext4 was not unmounted cleanly");
        assert!(error.hint().is_some());
        let mut gpt = vec![0; 4096];
        gpt[510..520].copy_from_slice(b"\x55\xaaEFI PART");
        for (bytes, found) in [
            (&b""[..], "nothing"),
            (&gpt, PARTITIONS),
            (&gpt[..512], PARTITIONS),
            (b"hsqs", "a squashfs"),
            (b"text", "something"),
        ] {
            assert_eq!(
                refused(&holding(bytes)),
                format!("it holds {found}, not an EROFS or ext4 file system")
            );
        }
        assert_eq!(
            refused(ext4(&["-t", "ext2"]).as_file()),
            "it holds an ext2 or ext3, not an EROFS or ext4 file system"
        );
    }

    proptest! {
        #[test]
        fn no_superblock_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2100), magic in 0..3) {
            let mut bytes = bytes;
            if bytes.len() > 1100 {
                match magic {
                    0 => bytes[1024..1028].copy_from_slice(&EROFS_MAGIC.to_le_bytes()),
                    1 => bytes[1080..1082].copy_from_slice(&EXT4_MAGIC.to_le_bytes()),
                    _ => {}
                }
            }
            let _ = probe(&holding(&bytes));
        }
    }
}
