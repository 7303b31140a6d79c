//! The names of an image as layers are applied to it, oldest first, the way unpacking them onto a disk would go.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet, VecDeque};

use tarball::{NAME_MAX, PATH_MAX, shown};

use super::scan::{Scan, Scanned, ScannedKind};
use super::whiteout::{Meaning, meaning};
use crate::fault::{EntryError, Fault, components};

/// An index into [`Tree::nodes`].
pub(super) type Id = u32;
/// The root directory.
pub(super) const ROOT: Id = 0;

/// As many links as Linux follows on one path.
const FOLLOW_MAX: usize = 40;
/// Names that all links of an image together may put on paths: far above what any image needs.
const STEPS_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub(super) struct Node {
    /// The member that it is: layer and ordinal. A directory that no member describes has none.
    pub(super) source: Option<(usize, u32)>,
    /// Names that lead here.
    links: u32,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Directory {
        parent: Id,
        names: BTreeMap<Box<[u8]>, Id>,
    },
    Symlink(Box<[u8]>),
    /// A regular file, a device or a pipe.
    Leaf(ScannedKind),
    /// What was replaced or hidden.
    Gone,
}

/// Directories of the layer that is being applied.
type Own = HashSet<Vec<u8>>;

/// All names and what they lead to.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    limit: u32,
    steps: u64,
}

impl Tree {
    /// A tree of at most `limit` objects, replaced ones included.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            nodes: vec![Node::directory(ROOT)],
            limit,
            steps: 0,
        }
    }

    /// Applies the next layer.
    pub(super) fn apply(&mut self, layer: usize, scan: &Scan) -> Result<(), EntryError> {
        let at = |scanned: &Scanned<'_>| {
            let entry = shown(scanned.path);
            move |fault| EntryError { entry, fault }
        };
        // Whiteouts first: wherever in the archive they stand, they concern older layers only.
        let mut own = Own::default();
        for scanned in scan.members() {
            let names = components(scanned.path).map_err(at(&scanned))?;
            match meaning(names).map_err(at(&scanned))? {
                Meaning::Opaque(folder) => self.empty(&folder, &own),
                Meaning::Hidden(names) => self.hide(&names, &own),
                Meaning::Entry(names) if scanned.kind == ScannedKind::Directory => {
                    own.insert(names.join(&b'/'));
                }
                Meaning::Entry(_) | Meaning::Nothing => {}
            }
        }
        for (ordinal, scanned) in (0..).zip(scan.members()) {
            let names = components(scanned.path).map_err(at(&scanned))?;
            if let Meaning::Entry(names) = meaning(names).map_err(at(&scanned))? {
                self.put(&names, &scanned, (layer, ordinal))
                    .map_err(at(&scanned))?;
            }
        }
        Ok(())
    }

    /// Whether there is something at a plain path.
    pub(super) fn contains(&self, path: &[u8]) -> bool {
        let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        names.try_fold(ROOT, |at, name| self.child(at, name)).is_some()
    }

    fn put(&mut self, names: &[&[u8]], scanned: &Scanned<'_>, source: (usize, u32)) -> Result<(), Fault> {
        let Some((name, parents)) = names.split_last() else {
            if scanned.kind != ScannedKind::Directory {
                return Err(Fault::RootNotDirectory);
            }
            self.nodes[ROOT as usize].source = Some(source);
            return Ok(());
        };
        let parent = self.walk(parents, true)?.expect("missing ones are made");
        let there = self.child(parent, name);
        let body = match scanned.kind {
            ScannedKind::HardLink => {
                let id = self.link_target(scanned.target)?;
                if there != Some(id) {
                    self.nodes[id as usize].links += 1;
                    self.name(parent, name, id);
                }
                return Ok(());
            }
            ScannedKind::Directory => {
                if let Some(id) = there
                    && self.names(id).is_some()
                {
                    self.nodes[id as usize].source = Some(source);
                    return Ok(());
                }
                Body::Directory {
                    parent,
                    names: BTreeMap::new(),
                }
            }
            ScannedKind::Symlink => {
                check_target(scanned.target)?;
                Body::Symlink(scanned.target.into())
            }
            kind @ (ScannedKind::File | ScannedKind::Other) => Body::Leaf(kind),
        };
        let id = self.push(Node {
            source: Some(source),
            links: 1,
            body,
        })?;
        self.name(parent, name, id);
        Ok(())
    }

    /// What a hard link means: its folder may lie behind symbolic links, it itself is not followed.
    fn link_target(&mut self, target: &[u8]) -> Result<Id, Fault> {
        let names = components(target)?;
        let missing = || Fault::LinkTargetMissing(shown(target));
        let directory = || Fault::LinkToDirectory(shown(target));
        let (name, parents) = names.split_last().ok_or_else(directory)?;
        let parent = self.walk(parents, false)?.ok_or_else(missing)?;
        let id = self.child(parent, name).ok_or_else(missing)?;
        match self.names(id) {
            Some(_) => Err(directory()),
            None => Ok(id),
        }
    }

    /// Removes a path of older layers, if it is there.
    fn hide(&mut self, names: &[&[u8]], own: &Own) {
        let Some((name, parents)) = names.split_last() else {
            return;
        };
        if self.replaces_a_link(parents, own) {
            return;
        }
        if let Ok(Some(parent)) = self.walk(parents, false)
            && let Some(names) = self.names_mut(parent)
            && let Some(id) = names.remove(*name)
        {
            self.unlink(id);
        }
    }

    /// Removes what older layers have in a folder, if it is there.
    fn empty(&mut self, folder: &[&[u8]], own: &Own) {
        if self.replaces_a_link(folder, own) {
            return;
        }
        if let Ok(Some(folder)) = self.walk(folder, false)
            && let Some(names) = self.names_mut(folder)
        {
            for id in std::mem::take(names).into_values() {
                self.unlink(id);
            }
        }
    }

    /// Whether a layer has, before a whiteout in it, put a directory where older layers have a link: then that is what
    /// the whiteout is in, and older layers have nothing there.
    fn replaces_a_link(&self, folder: &[&[u8]], own: &Own) -> bool {
        let mut at = ROOT;
        for (index, name) in folder.iter().enumerate() {
            match self.child(at, name) {
                Some(id) if self.names(id).is_some() => at = id,
                Some(_) => return own.contains(&folder[..=index].join(&b'/')),
                None => return false,
            }
        }
        false
    }

    /// Follows names to a directory, through symbolic links, never above the root. Missing ones are made or end the walk.
    fn walk(&mut self, names: &[&[u8]], make: bool) -> Result<Option<Id>, Fault> {
        let mut at = ROOT;
        let mut followed = 0;
        let mut left: VecDeque<Cow<'_, [u8]>> = names.iter().map(|name| Cow::Borrowed(*name)).collect();
        while let Some(name) = left.pop_front() {
            if *name == *b".." {
                at = match &self.nodes[at as usize].body {
                    Body::Directory { parent, .. } => *parent,
                    _ => ROOT,
                };
                continue;
            }
            let Some(id) = self.child(at, &name) else {
                if !make {
                    return Ok(None);
                }
                if name.len() > NAME_MAX {
                    return Err(Fault::NameTooLong(name.len()));
                }
                let id = self.push(Node::directory(at))?;
                self.name(at, &name, id);
                at = id;
                continue;
            };
            match &self.nodes[id as usize].body {
                Body::Directory { .. } => at = id,
                Body::Symlink(target) => {
                    followed += 1;
                    if target.starts_with(b"/") {
                        at = ROOT;
                    }
                    let parts = target.split(|byte| *byte == b'/');
                    let parts = parts.filter(|name| !matches!(*name, b"" | b"."));
                    let parts: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
                    self.steps += parts.len() as u64 + 1;
                    if followed > FOLLOW_MAX || self.steps > STEPS_MAX {
                        return Err(Fault::LinkLoop);
                    }
                    for part in parts.into_iter().rev() {
                        left.push_front(Cow::Owned(part));
                    }
                }
                Body::Leaf(_) | Body::Gone => return Err(Fault::ParentNotDirectory(shown(&name))),
            }
        }
        Ok(Some(at))
    }

    /// Gives a node a name, over whatever had it.
    fn name(&mut self, parent: Id, name: &[u8], id: Id) {
        let names = self.names_mut(parent).expect("walks end at directories");
        if let Some(old) = names.insert(name.into(), id) {
            self.unlink(old);
        }
    }

    /// Takes a name from a node, and from all below it.
    fn unlink(&mut self, id: Id) {
        let mut gone = vec![id];
        while let Some(id) = gone.pop() {
            let node = &mut self.nodes[id as usize];
            node.links -= 1;
            if node.links == 0
                && let Body::Directory { names, .. } = std::mem::replace(&mut node.body, Body::Gone)
            {
                gone.extend(names.into_values());
            }
        }
    }

    fn push(&mut self, node: Node) -> Result<Id, Fault> {
        match Id::try_from(self.nodes.len()) {
            Ok(id) if id < self.limit => {
                self.nodes.push(node);
                Ok(id)
            }
            _ => Err(Fault::TooManyEntries(self.limit)),
        }
    }

    fn child(&self, directory: Id, name: &[u8]) -> Option<Id> {
        self.names(directory)?.get(name).copied()
    }

    fn names(&self, id: Id) -> Option<&BTreeMap<Box<[u8]>, Id>> {
        match &self.nodes[id as usize].body {
            Body::Directory { names, .. } => Some(names),
            _ => None,
        }
    }

    fn names_mut(&mut self, id: Id) -> Option<&mut BTreeMap<Box<[u8]>, Id>> {
        match &mut self.nodes[id as usize].body {
            Body::Directory { names, .. } => Some(names),
            _ => None,
        }
    }
}

/// Refuses what no symbolic link can hold.
pub(super) fn check_target(target: &[u8]) -> Result<(), Fault> {
    match target {
        [] => Err(Fault::NoLinkTarget),
        target if target.contains(&0) => Err(Fault::ZeroInName),
        target if target.len() > PATH_MAX => Err(Fault::PathTooLong(target.len())),
        _ => Ok(()),
    }
}

impl Node {
    /// A directory that no member describes.
    fn directory(parent: Id) -> Self {
        Self {
            source: None,
            links: 1,
            body: Body::Directory {
                parent,
                names: BTreeMap::new(),
            },
        }
    }
}
