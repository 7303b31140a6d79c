//! The names of a tree, held compactly: an archive of a few kilobytes can have millions of folders.
//!
//! One table for the whole tree instead of a map per folder: a name costs its bytes and [`NAME_COST`], and what all
//! names cost is known at any time, so that a bound on it can be kept.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Bytes that a name costs beside its own: its record, and its place in the table at its emptiest.
pub const NAME_COST: usize = size_of::<Named>() + 16;

/// Stands for a name that was removed.
const NOTHING: u32 = u32::MAX;

/// Names in folders, and the number that each leads to. Folders are numbers too; the caller counts both.
#[derive(Debug, Default)]
pub struct Names {
    text: Vec<u8>,
    names: Vec<Named>,
    table: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    folder: u32,
    node: u32,
    start: u32,
    length: u8,
}

impl Named {
    fn text(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..][..usize::from(self.length)]
    }
}

impl Names {
    /// What a name leads to.
    #[must_use]
    pub fn get(&self, folder: u32, name: &[u8]) -> Option<u32> {
        let node = self.names[self.find(folder, name)? as usize].node;
        (node != NOTHING).then_some(node)
    }

    /// Gives a name a meaning; gives the one that it had. Names have at most [`crate::NAME_MAX`] bytes.
    pub fn set(&mut self, folder: u32, name: &[u8], node: u32) -> Option<u32> {
        if let Some(at) = self.find(folder, name) {
            let old = std::mem::replace(&mut self.names[at as usize].node, node);
            return (old != NOTHING).then_some(old);
        }
        let named = Named {
            folder,
            node,
            start: u32::try_from(self.text.len()).expect("callers bound the cost well below 4 GiB"),
            length: u8::try_from(name.len()).expect("callers refuse longer names"),
        };
        let at = self.names.len() as u32;
        self.text.extend(name);
        self.names.push(named);
        let Self {
            text,
            names,
            table,
            hasher,
        } = self;
        let hash = |at: &u32| {
            let named = names[*at as usize];
            hasher.hash_one((named.folder, named.text(text)))
        };
        table.insert_unique(hash(&at), at, hash);
        None
    }

    /// Takes a name away; gives what it led to.
    pub fn remove(&mut self, folder: u32, name: &[u8]) -> Option<u32> {
        let at = self.find(folder, name)?;
        let old = std::mem::replace(&mut self.names[at as usize].node, NOTHING);
        (old != NOTHING).then_some(old)
    }

    /// Takes away all names of what is not to stay; gives how many those are.
    pub fn retain(&mut self, stays: impl Fn(u32) -> bool) -> u64 {
        let mut taken = 0;
        for named in &mut self.names {
            if named.node != NOTHING && !stays(named.node) {
                named.node = NOTHING;
                taken += 1;
            }
        }
        taken
    }

    /// The name that came as the number `at`, counted from 0, and its folder.
    #[must_use]
    pub fn nth(&self, at: u32) -> (u32, &[u8]) {
        let named = self.names[at as usize];
        (named.folder, named.text(&self.text))
    }

    /// All names with their folders and what they lead to, in the order in which they first came.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8], u32)> {
        let all = self.names.iter().filter(|named| named.node != NOTHING);
        all.map(|named| (named.folder, named.text(&self.text), named.node))
    }

    /// Bytes that it takes: a bound that depends on the names alone.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.text.len() + self.names.len() * NAME_COST
    }

    /// Takes no more names, and sorts those of each of `folders` folders.
    #[must_use]
    pub fn into_folders(self, folders: usize) -> Folders {
        let Self { text, names, .. } = self;
        let live = |named: &&Named| named.node != NOTHING;
        let mut starts = vec![0_u32; folders + 1];
        for named in names.iter().filter(live) {
            starts[named.folder as usize + 1] += 1;
        }
        for folder in 0..folders {
            starts[folder + 1] += starts[folder];
        }
        // In each folder as they came; `next` ends as the starts moved by one.
        let mut next = starts.clone();
        let mut order = vec![0_u32; starts[folders] as usize];
        for (at, named) in names.iter().enumerate().filter(|(_, named)| live(named)) {
            let slot = &mut next[named.folder as usize];
            order[*slot as usize] = at as u32;
            *slot += 1;
        }
        for folder in 0..folders {
            let own = &mut order[starts[folder] as usize..starts[folder + 1] as usize];
            own.sort_unstable_by_key(|at| names[*at as usize].text(&text));
        }
        Folders {
            text,
            names,
            starts,
            order,
        }
    }

    fn find(&self, folder: u32, name: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one((folder, name));
        let is_it = |at: &u32| {
            let named = self.names[*at as usize];
            named.folder == folder && named.text(&self.text) == name
        };
        self.table.find(hash, is_it).copied()
    }
}

/// The names of a finished tree by folder.
#[derive(Debug)]
pub struct Folders {
    text: Vec<u8>,
    names: Vec<Named>,
    starts: Vec<u32>,
    order: Vec<u32>,
}

impl Folders {
    /// The names in a folder and what they lead to, sorted as bytes are.
    pub fn of(&self, folder: u32) -> impl DoubleEndedIterator<Item = (&[u8], u32)> + ExactSizeIterator {
        self.marks(folder).map(|(mark, node)| (self.name(mark), node))
    }

    /// The same, each name as a number that is smaller to keep.
    pub fn marks(&self, folder: u32) -> impl DoubleEndedIterator<Item = (u32, u32)> + ExactSizeIterator {
        let folder = folder as usize;
        let own = &self.order[self.starts[folder] as usize..self.starts[folder + 1] as usize];
        own.iter().map(|at| (*at, self.names[*at as usize].node))
    }

    /// The name of such a number.
    #[must_use]
    pub fn name(&self, mark: u32) -> &[u8] {
        self.names[mark as usize].text(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_says_what_a_map_per_folder_would(
            steps in proptest::collection::vec((0..4_u32, "[ab]{1,2}", 0..9_u32, any::<bool>()), 0..120)
        ) {
            let mut names = Names::default();
            let mut maps = vec![BTreeMap::new(); 4];
            for (folder, name, node, keep) in steps {
                let map = &mut maps[folder as usize];
                let name = name.into_bytes();
                match keep {
                    true => prop_assert_eq!(names.set(folder, &name, node), map.insert(name.clone(), node)),
                    false => prop_assert_eq!(names.remove(folder, &name), map.remove(&name)),
                }
                prop_assert_eq!(names.get(folder, &name), map.get(&name).copied());
            }
            prop_assert_eq!(names.iter().count(), maps.iter().map(BTreeMap::len).sum::<usize>());
            let before = names.iter().count() as u64;
            let taken = names.retain(|node| node % 3 != 0);
            maps.iter_mut().for_each(|map| map.retain(|_, node| *node % 3 != 0));
            prop_assert_eq!(names.iter().count() as u64 + taken, before);
            let folders = names.into_folders(4);
            for (folder, map) in (0..).zip(maps) {
                let found: Vec<_> = folders.of(folder).map(|(name, node)| (name.to_vec(), node)).collect();
                prop_assert_eq!(found, map.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_name_costs_little_more_than_itself() {
        let mut names = Names::default();
        for folder in 0..100_000 {
            names.set(folder, b"d", folder + 1);
        }
        assert_eq!(names.cost(), 100_000 * (1 + NAME_COST));
        let held = names.text.len() + names.names.len() * size_of::<Named>() + names.table.allocation_size();
        assert!(held <= names.cost(), "{held} > {}", names.cost());
    }
}
