//! The finished tree turned round: for each layer what is wanted of it, for each of those its names.

use std::collections::HashMap;

use tarball::Kind;

use super::scan::ScannedKind;
use super::tree::{Body, Id, ROOT, Tree};

/// What is to come out, and under which names.
#[derive(Debug)]
pub(super) struct Plan {
    /// By layer: ordinals of members, ascending, and what they are.
    pub(super) wanted: Vec<Vec<(u32, Id)>>,
    places: Vec<Place>,
    /// Further names, of hard links.
    others: HashMap<Id, Vec<Name>>,
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
            sources.push(node.source);
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
        };
        plan.want(ROOT, &sources);
        let mut open = vec![ROOT];
        while let Some(folder) = open.pop() {
            for (name, id) in folders.remove(&folder).into_iter().flatten() {
                let place = &mut plan.places[id as usize];
                if place.named {
                    plan.others.entry(id).or_default().push((folder, name));
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

    fn want(&mut self, id: Id, sources: &[Option<(usize, u32)>]) {
        if let Some((layer, ordinal)) = sources[id as usize] {
            self.wanted[layer].push((ordinal, id));
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
