//! Trees that came, entry by entry.
//!
//! A tree of the same few objects can stand for more folders than any disk has. Where each folder holds a file, git's
//! comparison prints what it comes to, and what it prints is bounded. Of empty folders it prints nothing, for as long as
//! there are any; git itself makes none.

use std::io::{self, BufRead, Read};

/// The object of a tree without entries: of SHA-1, of SHA-256.
const EMPTY: [&[u8]; 2] = [
    &[
        0x4b, 0x82, 0x5d, 0xc6, 0x42, 0xcb, 0x6e, 0xb9, 0xa0, 0x60, 0xe5, 0x4b, 0xf8, 0xd6, 0x92, 0x88, 0xfb,
        0xee, 0x49, 0x04,
    ],
    &[
        0x6e, 0xf1, 0x9b, 0x41, 0x22, 0x5c, 0x53, 0x69, 0xf1, 0xc1, 0x04, 0xd4, 0x5d, 0x8d, 0x85, 0xef, 0xa9,
        0xb0, 0x57, 0xb5, 0x3b, 0x14, 0xb4, 0xb9, 0xb9, 0x39, 0xdd, 0x74, 0xde, 0xcc, 0x53, 0x21,
    ],
];
/// Longest mode and name of an entry.
const LONGEST_NAME: u64 = 1 << 16;
/// Longest line before an object.
const LONGEST_LINE: u64 = 200;

/// Reads what `git cat-file --batch` prints of trees, whose objects have ids of `width` bytes.
pub(super) fn any_has_an_empty_folder(printed: &mut dyn BufRead, width: usize) -> io::Result<bool> {
    let mut found = false;
    let mut line = Vec::new();
    let mut id = vec![0; width];
    while (&mut *printed).take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        let size = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next();
        let size = size.and_then(|size| std::str::from_utf8(size).ok()?.parse().ok());
        let mut tree = (&mut *printed).take(size.ok_or(io::ErrorKind::InvalidData)?);
        while tree.limit() > 0 {
            line.clear();
            tree.by_ref().take(LONGEST_NAME).read_until(0, &mut line)?;
            tree.read_exact(&mut id)?;
            found |= EMPTY.contains(&&*id);
        }
        line.clear();
        printed.read_exact(&mut [0])?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(trees: &[&[(&str, &[u8])]]) -> Vec<u8> {
        let mut all = Vec::new();
        for entries in trees {
            let mut tree = Vec::new();
            for (name, id) in *entries {
                tree.extend([name.as_bytes(), &[0], id].concat());
            }
            all.extend(format!("0123456789 tree {}\n", tree.len()).bytes());
            all.extend([&*tree, b"\n"].concat());
        }
        all
    }

    #[test]
    fn an_empty_folder_is_found_in_any_tree_and_a_broken_answer_is_an_error() {
        let other: &[u8] = &[10; 20];
        let sound = printed(&[&[("100644 a", other), ("40000 b", other)], &[]]);
        assert!(!any_has_an_empty_folder(&mut &*sound, 20).unwrap());
        let bomb = printed(&[
            &[],
            &[("40000 a", other), ("40000 b", EMPTY[0])],
            &[("100644 c", other)],
        ]);
        assert!(any_has_an_empty_folder(&mut &*bomb, 20).unwrap());
        let longer = printed(&[&[("40000 b", EMPTY[1])]]);
        assert!(any_has_an_empty_folder(&mut &*longer, 32).unwrap());
        for cut in 1..bomb.len() {
            let _ = any_has_an_empty_folder(&mut &bomb[..cut], 20);
        }
        assert!(any_has_an_empty_folder(&mut &bomb[..30], 20).is_err());
        assert!(any_has_an_empty_folder(&mut &b"no answer\n"[..], 20).is_err());
    }
}
