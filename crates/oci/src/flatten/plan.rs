//! The finished tree turned round: for each layer what is wanted of it, for each of those its names.

use std::collections::HashMap;

use super::scan::ScannedKind;
use super::tree::{Body, Id, ROOT, Tree};
use crate::entry::Kind;

/// What is to come out, and under which names.
#[derive(Debug)]
pub(super) struct Plan {
    /// By layer: ordinals of members, ascending, and what they are.
    pub(super) wanted: Vec<Vec<(u32, Id)>>,
    places: Vec<Place>,
    /// Further names, of hard links.
    others: HashMap<Id, Vec<Name>>,
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// A name in a directory.
type Name = (Id, Box<[u8]>);

#[derive(Debug)]
struct Place {
    parent: Id,
    name: Box<[u8]>,
    kind: ScannedKind,
    named: bool,
}

impl Plan {
    pub(super) fn new(tree: Tree, layers: usize) -> Self {
        let mut sources = Vec::with_capacity(tree.nodes.len());
        let mut folders = HashMap::new();
        let mut places = Vec::with_capacity(tree.nodes.len());
        for (id, node) in (0..).zip(tree.nodes) {
            sources.push((node.source, node.size));
            let kind = match node.body {
                Body::Directory { names, .. } => {
                    folders.insert(id, names);
                    ScannedKind::Directory
                }
                Body::Symlink(_) => ScannedKind::Symlink,
                Body::Leaf(kind) => kind,
                Body::Gone => ScannedKind::Other,
            };
            places.push(Place {
                parent: ROOT,
                name: Box::default(),
                kind,
                named: id == ROOT,
            });
        }
        let mut plan = Self {
            wanted: vec![Vec::new(); layers],
            places,
            others: HashMap::new(),
            entries: 0,
            bytes: 0,
        };
        plan.want(ROOT, &sources);
        let mut open = vec![ROOT];
        while let Some(folder) = open.pop() {
            for (name, id) in folders.remove(&folder).into_iter().flatten() {
                let place = &mut plan.places[id as usize];
                if place.named {
                    plan.others.entry(id).or_default().push((folder, name));
                    plan.entries += 1;
                    continue;
                }
                *place = Place {
                    parent: folder,
                    name,
                    kind: place.kind,
                    named: true,
                };
                if place.kind == ScannedKind::Directory {
                    open.push(id);
                }
                plan.want(id, &sources);
            }
        }
        for wanted in &mut plan.wanted {
            wanted.sort_unstable();
        }
        plan
    }

    fn want(&mut self, id: Id, sources: &[(Option<(usize, u32)>, u64)]) {
        let (source, size) = sources[id as usize];
        if let Some((layer, ordinal)) = source {
            self.wanted[layer].push((ordinal, id));
            self.entries += 1;
            self.bytes = self.bytes.saturating_add(size);
        }
    }

    /// Whether a member is of the kind that the first pass saw.
    pub(super) fn is_of_kind(&self, id: Id, kind: &Kind) -> bool {
        self.places[id as usize].kind == ScannedKind::of(kind)
    }

    /// The path of an entry; the first of several.
    pub(super) fn path(&self, id: Id) -> Vec<u8> {
        let place = &self.places[id as usize];
        match id {
            ROOT => b".".to_vec(),
            _ => self.join(place.parent, &place.name),
        }
    }

    /// One of the further paths of an entry.
    pub(super) fn other_path(&self, id: Id, index: usize) -> Option<Vec<u8>> {
        let (parent, name) = self.others.get(&id)?.get(index)?;
        Some(self.join(*parent, name))
    }

    fn join(&self, mut parent: Id, name: &[u8]) -> Vec<u8> {
        let mut names = vec![name];
        while parent != ROOT {
            let place = &self.places[parent as usize];
            names.push(&place.name);
            parent = place.parent;
        }
        names.reverse();
        names.join(&b'/')
    }
}
