//! The finished tree turned round: for each layer what is wanted of it, for each of those its names.

use tarball::{Folders, Kind};

use super::scan::ScannedKind;
use super::tree::{Body, Id, ROOT, Source, Tree};

/// What is to come out, and under which names.
#[derive(Debug)]
pub(super) struct Plan {
    /// By layer: ordinals of members, ascending, and what they are.
    pub(super) wanted: Vec<Vec<(u32, Id)>>,
    places: Vec<Place>,
    /// Further names, of hard links, by what they name.
    others: Vec<(Id, Name)>,
    names: Folders,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
struct Name {
    parent: Id,
    /// What [`Folders::name`] knows it by.
    mark: u32,
}

#[derive(Debug)]
struct Place {
    name: Name,
    kind: ScannedKind,
    named: bool,
}

impl Plan {
    pub(super) fn new(tree: Tree, layers: usize) -> Self {
        let names = tree.names.into_folders(tree.folders as usize);
        let mut sources = Vec::with_capacity(tree.nodes.len());
        let mut folders = Vec::with_capacity(tree.nodes.len());
        let mut places = Vec::with_capacity(tree.nodes.len());
        for node in tree.nodes {
            sources.push(node.source);
            let (kind, folder) = match node.body {
                Body::Directory { folder, .. } => (ScannedKind::Directory, folder),
                Body::Symlink(_) => (ScannedKind::Symlink, 0),
                Body::Leaf(kind) => (kind, 0),
            };
            folders.push(folder);
            places.push(Place {
                name: Name {
                    parent: ROOT,
                    mark: 0,
                },
                kind,
                named: false,
            });
        }
        places[ROOT as usize].named = true;
        let mut plan = Self {
            wanted: vec![Vec::new(); layers],
            places,
            others: Vec::new(),
            names,
        };
        let want = |wanted: &mut Vec<Vec<(u32, Id)>>, id: Id| {
            if let Some(Source { layer, ordinal }) = sources[id as usize] {
                wanted[layer as usize].push((ordinal, id));
            }
        };
        want(&mut plan.wanted, ROOT);
        let mut open = vec![ROOT];
        while let Some(directory) = open.pop() {
            for (mark, id) in plan.names.marks(folders[directory as usize]) {
                let name = Name {
                    parent: directory,
                    mark,
                };
                let place = &mut plan.places[id as usize];
                if place.named {
                    plan.others.push((id, name));
                    continue;
                }
                place.name = name;
                place.named = true;
                if place.kind == ScannedKind::Directory {
                    open.push(id);
                }
                want(&mut plan.wanted, id);
            }
        }
        plan.others.sort_by_key(|(id, _)| *id);
        for wanted in &mut plan.wanted {
            wanted.sort_unstable();
        }
        plan
    }

    /// Whether a member is of the kind that the first pass saw.
    pub(super) fn is_of_kind(&self, id: Id, kind: &Kind) -> bool {
        self.places[id as usize].kind == ScannedKind::of(kind)
    }

    /// The path of an entry; the first of several.
    pub(super) fn path(&self, id: Id) -> Vec<u8> {
        match id {
            ROOT => b".".to_vec(),
            _ => self.join(self.places[id as usize].name),
        }
    }

    /// One of the further paths of an entry.
    pub(super) fn other_path(&self, id: Id, index: usize) -> Option<Vec<u8>> {
        let first = self.others.partition_point(|(other, _)| *other < id);
        let (other, name) = self.others.get(first + index)?;
        (*other == id).then(|| self.join(*name))
    }

    fn join(&self, mut name: Name) -> Vec<u8> {
        let mut names = vec![self.names.name(name.mark)];
        while name.parent != ROOT {
            name = self.places[name.parent as usize].name;
            names.push(self.names.name(name.mark));
        }
        names.reverse();
        names.join(&b'/')
    }
}
