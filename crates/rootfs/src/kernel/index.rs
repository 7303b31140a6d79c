//! The binary index files of kmod (`modules.*.bin`): without them `modprobe` finds nothing.
//!
//! A trie, written as the comment at the head of kmod's `libkmod-index` describes it. All numbers are big-endian:
//!
//! ```text
//!   magic, version, offset of the root                        offset: top bits say which fields the node has
//!   node: prefix, 0 | first, last, offset of each child       PREFIX, CHILDREN, VALUES; 0 where there is no child
//!                   | count, (priority, value, 0) of each
//! ```
//!
//! A key is the characters on the way: the prefixes, and between them the one that chose the child.

use std::collections::BTreeMap;

const MAGIC: u32 = 0xB007_F457;
const VERSION: u32 = 0x0002_0001;
const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;
/// What is left of a number for the offset.
const LARGEST: usize = 0x0FFF_FFFF;
/// Longest key; one node a character at most, and writing goes as deep as the key is long.
pub(crate) const LONGEST_KEY: usize = 1024;

/// The values of a key, each with its priority.
type Values = Vec<(u32, Vec<u8>)>;

/// Keys with their values, each with a priority: where one key has several values, the lowest comes first.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Vec<u8>, Values>,
}

/// The index has become larger than its offsets can tell.
#[derive(Debug)]
pub(crate) struct TooLarge;

impl Index {
    /// Adds a value. A key that the format cannot hold (empty, too long, not ASCII) is left out: nothing could look
    /// for it.
    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8], priority: u32) {
        let possible = !key.is_empty()
            && key.len() <= LONGEST_KEY
            && key.iter().all(|byte| (1..0x80).contains(byte))
            && !value.contains(&0);
        if possible {
            let values = self.keys.entry(key.to_vec()).or_default();
            let value = (priority, value.to_vec());
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }

    /// The file.
    pub(crate) fn encode(mut self) -> Result<Vec<u8>, TooLarge> {
        for values in self.keys.values_mut() {
            values.sort();
        }
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|(key, values)| (key.as_slice(), values.as_slice()))
            .collect();
        let mut out = Vec::new();
        out.extend(MAGIC.to_be_bytes());
        out.extend(VERSION.to_be_bytes());
        out.extend([0; 4]);
        let root = encode_node(&keys, 0, &mut out)?;
        out[8..12].copy_from_slice(&root.to_be_bytes());
        Ok(out)
    }
}

/// A sorted key with its values.
type Key<'a> = (&'a [u8], &'a [(u32, Vec<u8>)]);

/// Appends the node of `keys`, which agree in their first `depth` bytes, after all nodes below it. Gives its offset.
fn encode_node(keys: &[Key<'_>], depth: usize, out: &mut Vec<u8>) -> Result<u32, TooLarge> {
    let (first, last) = match keys {
        [] => (&[][..], &[][..]),
        [(first, _), ..] => (*first, keys[keys.len() - 1].0),
    };
    // Sorted, so what first and last have in common, all have. The root has no prefix, as depmod writes it.
    let agree = first.iter().zip(last).take_while(|(one, other)| one == other);
    let common = if depth == 0 { 0 } else { agree.count() };
    let (own, below) = match keys {
        [(key, values), below @ ..] if key.len() == common => (*values, below),
        _ => (&[][..], keys),
    };
    let mut children = Vec::new();
    for group in below.chunk_by(|(one, _), (other, _)| one[common] == other[common]) {
        let byte = group[0].0[common];
        children.push((byte, encode_node(group, common + 1, out)?));
    }

    let mut offset = u32::try_from(out.len()).map_err(|_| TooLarge)?;
    if out.len() > LARGEST {
        return Err(TooLarge);
    }
    if depth < common {
        offset |= PREFIX;
        out.extend(&first[depth..common]);
        out.push(0);
    }
    if let [(low, _), .., (high, _)] | [(low @ high, _)] = *children.as_slice() {
        offset |= CHILDREN;
        out.extend([low, high]);
        let mut table = vec![0_u32; usize::from(high - low) + 1];
        for (byte, child) in children {
            table[usize::from(byte - low)] = child;
        }
        out.extend(table.into_iter().flat_map(u32::to_be_bytes));
    }
    if !own.is_empty() {
        offset |= VALUES;
        out.extend((own.len() as u32).to_be_bytes());
        for (priority, value) in own {
            out.extend(priority.to_be_bytes());
            out.extend(value);
            out.push(0);
        }
    }
    Ok(offset)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that an index holds, read by its description.
    pub(crate) fn read(file: &[u8]) -> Vec<(Vec<u8>, Values)> {
        assert_eq!(number(file, 0), MAGIC);
        assert_eq!(number(file, 4), VERSION);
        let mut found = Vec::new();
        read_node(file, number(file, 8), Vec::new(), &mut found);
        found
    }

    fn number(file: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(file[at..at + 4].try_into().unwrap())
    }

    fn text(file: &[u8], at: &mut usize) -> Vec<u8> {
        let text = file[*at..].split(|byte| *byte == 0).next().unwrap().to_vec();
        *at += text.len() + 1;
        text
    }

    fn read_node(file: &[u8], offset: u32, mut key: Vec<u8>, found: &mut Vec<(Vec<u8>, Values)>) {
        let mut at = offset as usize & LARGEST;
        if offset & PREFIX != 0 {
            key.extend(text(file, &mut at));
        }
        let mut children = Vec::new();
        if offset & CHILDREN != 0 {
            let (low, high) = (file[at], file[at + 1]);
            at += 2;
            for byte in low..=high {
                children.push((byte, number(file, at)));
                at += 4;
            }
        }
        if offset & VALUES != 0 {
            let count = number(file, at);
            at += 4;
            let values = (0..count).map(|_| {
                let priority = number(file, at);
                at += 4;
                (priority, text(file, &mut at))
            });
            found.push((key.clone(), values.collect()));
        }
        for (byte, child) in children {
            if child != 0 {
                let mut key = key.clone();
                key.push(byte);
                read_node(file, child, key, found);
            }
        }
    }

    #[test]
    fn an_index_of_nothing_is_read_as_empty() {
        assert_eq!(read(&Index::default().encode().unwrap()), []);
    }

    #[test]
    fn values_of_one_key_come_by_priority() {
        let mut index = Index::default();
        index.insert(b"pci:1", b"later", 7);
        index.insert(b"pci:1", b"sooner", 3);
        index.insert(b"pci:1", b"later", 7);
        let values = vec![(3, b"sooner".to_vec()), (7, b"later".to_vec())];
        assert_eq!(read(&index.encode().unwrap()), [(b"pci:1".to_vec(), values)]);
    }

    #[test]
    fn keys_that_nothing_could_look_for_are_left_out() {
        let mut index = Index::default();
        for key in [&b""[..], b"\xff", b"a\0b", &[b'a'; LONGEST_KEY + 1]] {
            index.insert(key, b"value", 0);
        }
        index.insert(b"key", b"a\0b", 0);
        assert_eq!(read(&index.encode().unwrap()), []);
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out(
            keys in prop::collection::btree_map("[a-d]{1,6}|[!-~]{1,40}", prop::collection::btree_set((0_u32..9, "[a-z]{0,5}"), 1..4), 0..60),
        ) {
            let mut index = Index::default();
            for (key, values) in &keys {
                for (priority, value) in values {
                    index.insert(key.as_bytes(), value.as_bytes(), *priority);
                }
            }
            let expected: Vec<_> = keys
                .into_iter()
                .map(|(key, values)| (key.into_bytes(), values.into_iter().map(|(priority, value)| (priority, value.into_bytes())).collect()))
                .collect();
            let mut found: Vec<(Vec<u8>, Values)> = read(&index.encode().unwrap());
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
