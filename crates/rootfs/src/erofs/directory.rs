//! Directory blocks: sorted names behind an array of fixed-size entries, block by block.

use super::format::{BLOCK, mode};

/// Bytes of `erofs_dirent`.
const DIRENT: usize = 12;

/// One name of a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub(crate) name: &'a [u8],
    /// Whatever the caller finds its inode by.
    pub(crate) inode: u32,
}

/// Splits sorted names into as many as fit in each block.
pub(crate) fn blocks<'n, 'a>(mut names: &'n [Name<'a>]) -> impl Iterator<Item = &'n [Name<'a>]> {
    std::iter::from_fn(move || {
        let mut used = 0;
        let count = names
            .iter()
            .take_while(|name| {
                used += DIRENT + name.name.len();
                used <= BLOCK
            })
            .count();
        let (now, later) = names.split_at(count);
        names = later;
        (!now.is_empty()).then_some(now)
    })
}

/// Bytes that a block's names take.
pub(crate) fn bytes(block: &[Name<'_>]) -> usize {
    block.iter().map(|name| DIRENT + name.name.len()).sum()
}

/// Appends one block's bytes, not padded. `resolve` gives inode number and mode.
pub(crate) fn encode(block: &[Name<'_>], resolve: impl Fn(u32) -> (u64, u16), out: &mut Vec<u8>) {
    let mut name_at = block.len() * DIRENT;
    for name in block {
        let (number, mode) = resolve(name.inode);
        out.extend(number.to_le_bytes());
        out.extend((name_at as u16).to_le_bytes());
        out.extend([file_type(mode), 0]);
        name_at += name.name.len();
    }
    for name in block {
        out.extend(name.name);
    }
}

/// The kernel's `FT_*`.
fn file_type(mode: u16) -> u8 {
    match mode & mode::TYPE {
        mode::FILE => 1,
        mode::DIRECTORY => 2,
        mode::CHARACTER => 3,
        mode::BLOCK => 4,
        mode::FIFO => 5,
        mode::SOCKET => 6,
        mode::SYMLINK => 7,
        _ => 0,
    }
}
