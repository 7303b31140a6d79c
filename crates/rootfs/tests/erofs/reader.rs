//! Reads an EROFS image by its format's description, with nothing of the writer: for who cannot mount one.

use std::collections::BTreeMap;

use crate::tree::{Found, Tree};

const BLOCK: usize = 4096;
const SUPER: usize = 1024;

struct Image<'a> {
    bytes: &'a [u8],
    metadata: usize,
    xattrs: usize,
}

/// All that an image holds. Panics where it is wrong.
pub fn read(bytes: &[u8]) -> Tree {
    let image = Image {
        bytes,
        metadata: u32_at(bytes, SUPER + 40) as usize * BLOCK,
        xattrs: u32_at(bytes, SUPER + 44) as usize * BLOCK,
    };
    assert_eq!(u32_at(bytes, SUPER), 0xE0F5_E1E2);
    assert_eq!(u32_at(bytes, SUPER + 36) as usize * BLOCK, bytes.len());
    let mut tree = Tree::new();
    let mut seen = BTreeMap::new();
    let mut left = vec![(Vec::new(), u64::from(u16_at(bytes, SUPER + 14)))];
    while let Some((path, number)) = left.pop() {
        let found = image.inode(number);
        if found.is_directory() {
            left.extend(
                image
                    .names(number)
                    .into_iter()
                    .filter_map(|(name, number)| match name.as_slice() {
                        b"." | b".." => None,
                        name => Some(([path.as_slice(), b"/", name].concat(), number)),
                    }),
            );
        }
        tree.insert(path.clone(), found);
        seen.insert(path, number);
    }
    crate::tree::group(&mut tree, &seen);
    tree
}

impl Image<'_> {
    fn at(&self, number: u64) -> usize {
        self.metadata + number as usize * 32
    }

    /// Where what follows the inode and its attributes begins.
    fn behind(&self, number: u64) -> usize {
        let at = self.at(number);
        at + 64
            + match u16_at(self.bytes, at + 2) {
                0 => 0,
                count => 12 + (usize::from(count) - 1) * 4,
            }
    }

    fn inode(&self, number: u64) -> Found {
        let (bytes, at) = (self.bytes, self.at(number));
        assert_eq!(u16_at(bytes, at) & 1, 1, "extended inodes only");
        let mode = u32::from(u16_at(bytes, at + 4));
        let mut found = Found {
            mode,
            uid: u32_at(bytes, at + 24),
            gid: u32_at(bytes, at + 28),
            modified: (u64_at(bytes, at + 32).cast_signed(), u32_at(bytes, at + 40)),
            links: u32_at(bytes, at + 44),
            device: (0, 0),
            xattrs: self.xattrs(number),
            content: Vec::new(),
            same_as: None,
        };
        match mode & 0o170_000 {
            0o100_000 | 0o120_000 => found.content = self.content(number),
            0o020_000 | 0o060_000 => {
                let packed = u32_at(bytes, at + 16);
                found.device = (
                    (packed >> 8) & 0xfff,
                    (packed & 0xff) | ((packed >> 12) & 0xfff00),
                );
            }
            _ => {}
        }
        found
    }

    fn content(&self, number: u64) -> Vec<u8> {
        let at = self.at(number);
        let size = u64_at(self.bytes, at + 8) as usize;
        let start = u32_at(self.bytes, at + 16);
        let blocks = |from: usize, length: usize| self.bytes[from * BLOCK..from * BLOCK + length].to_vec();
        match (u16_at(self.bytes, at) >> 1) & 7 {
            0 => blocks(start as usize, size),
            2 => {
                let whole = size / BLOCK * BLOCK;
                let mut content = blocks(start as usize, whole);
                let tail = self.behind(number);
                assert_eq!(
                    tail / BLOCK,
                    (tail + size - whole - 1) / BLOCK,
                    "a tail lies in one block"
                );
                content.extend(&self.bytes[tail..tail + size - whole]);
                content
            }
            4 => {
                let chunk = BLOCK << (start & 0x1f);
                let map = self.behind(number).next_multiple_of(4);
                let mut content = Vec::with_capacity(size);
                for index in 0..size.div_ceil(chunk) {
                    let length = chunk.min(size - content.len());
                    match u32_at(self.bytes, map + 4 * index) {
                        u32::MAX => content.resize(content.len() + length, 0),
                        block => content.extend(blocks(block as usize, length)),
                    }
                }
                content
            }
            1 => self.unpacked(number, size),
            other => panic!("layout {other}"),
        }
    }

    /// The content of a file that is packed. Of each 4 KiB there are 8 bytes: kind, offset, and a block or two distances.
    fn unpacked(&self, number: u64, size: usize) -> Vec<u8> {
        let header = self.behind(number).next_multiple_of(8);
        assert_eq!(
            u16_at(self.bytes, header + 4),
            2,
            "big clusters, and nothing else"
        );
        assert_eq!(u16_at(self.bytes, header + 6), 0, "LZ4, clusters of 4 KiB");
        let indices: Vec<&[u8]> = (0..size.div_ceil(BLOCK))
            .map(|at| &self.bytes[header + 16 + 8 * at..header + 24 + 8 * at])
            .collect();
        let is_head = |at: usize| u16_at(indices[at], 0) != 2;
        let mut content = Vec::with_capacity(size);
        let mut at = 0;
        while content.len() < size {
            let next = (at + 1..indices.len())
                .find(|at| is_head(*at))
                .unwrap_or(indices.len());
            let end = match indices.get(next) {
                Some(index) => next * BLOCK + usize::from(u16_at(index, 2)),
                None => size.max(at * BLOCK),
            };
            let first = u32_at(indices[at], 4) as usize * BLOCK;
            match u16_at(indices[at], 0) {
                0 => {
                    let length = BLOCK.min(size - content.len());
                    content.extend(&self.bytes[first..first + length]);
                }
                1 => {
                    let mut blocks = 1;
                    for (back, index) in (1..).zip(&indices[at + 1..next]) {
                        match u16_at(index, 4) {
                            marked if back == 1 => blocks = usize::from(marked & !(1 << 11)),
                            distance => assert_eq!(distance, back),
                        }
                        assert_eq!(usize::from(u16_at(index, 6)), next - at - usize::from(back));
                    }
                    let packed = &self.bytes[first..first + blocks * BLOCK];
                    let zeros = packed.iter().take_while(|byte| **byte == 0).count();
                    assert!(zeros < BLOCK, "no block too many");
                    let length = end - at * BLOCK;
                    let unpacked = lz4_flex::block::decompress(&packed[zeros..], length).unwrap();
                    assert_eq!(unpacked.len(), length);
                    content.extend(unpacked);
                }
                other => panic!("kind {other}"),
            }
            at = next;
        }
        content
    }

    fn names(&self, number: u64) -> Vec<(Vec<u8>, u64)> {
        let content = self.content(number);
        let mut names: Vec<(Vec<u8>, u64)> = Vec::new();
        for block in content.chunks(BLOCK) {
            let count = usize::from(u16_at(block, 8)) / 12;
            for index in 0..count {
                let start = usize::from(u16_at(block, index * 12 + 8));
                let end = match index + 1 == count {
                    true => block.len(),
                    false => usize::from(u16_at(block, index * 12 + 20)),
                };
                // The last name of a padded block ends with a zero.
                let name = block[start..end].split(|byte| *byte == 0).next().unwrap();
                names.push((name.to_vec(), u64_at(block, index * 12)));
            }
        }
        assert!(
            names.is_sorted_by(|one, other| one.0 < other.0),
            "names are looked for by bisection"
        );
        names
    }

    fn xattrs(&self, number: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let (start, end) = (self.at(number) + 64, self.behind(number));
        let mut found = BTreeMap::new();
        if start == end {
            return found;
        }
        let shared = usize::from(self.bytes[start + 4]);
        let mut at = start + 12 + 4 * shared;
        for index in 0..shared {
            let place = u32_at(self.bytes, start + 12 + 4 * index) as usize;
            self.xattr(self.xattrs + 4 * place, &mut found);
        }
        while at < end {
            at = self.xattr(at, &mut found);
        }
        assert_eq!(at, end);
        found
    }

    fn xattr(&self, at: usize, found: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> usize {
        let name = usize::from(self.bytes[at]);
        let value = usize::from(u16_at(self.bytes, at + 2));
        let prefix: &[u8] = match self.bytes[at + 1] {
            1 => b"user.",
            2 => b"system.posix_acl_access",
            3 => b"system.posix_acl_default",
            4 => b"trusted.",
            6 => b"security.",
            other => panic!("prefix {other}"),
        };
        let (start, middle) = (at + 4, at + 4 + name);
        let key = [prefix, &self.bytes[start..middle]].concat();
        let twice = found.insert(key, self.bytes[middle..middle + value].to_vec());
        assert!(twice.is_none(), "a name comes once");
        (middle + value).next_multiple_of(4)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
