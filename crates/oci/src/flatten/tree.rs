//! The names of an image as layers are applied to it, oldest first, the way unpacking them onto a disk would go.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};

use tarball::{NAME_MAX, Names, PATH_MAX, shown};

use super::scan::{Scan, Scanned, ScannedKind};
use super::whiteout::{Meaning, is_whiteout, meaning};
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
    pub(super) source: Option<Source>,
    pub(super) body: Body,
}

/// A member: its layer, and its ordinal there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) layer: u32,
    pub(super) ordinal: u32,
}

#[derive(Debug)]
pub(super) enum Body {
    Directory {
        parent: Id,
        /// What its names are found under. Another number is an empty folder.
        folder: u32,
    },
    Symlink(Box<[u8]>),
    /// A regular file, a device or a pipe.
    Leaf(ScannedKind),
}

/// Bytes that an object takes: its node, and its place in the plan that becomes of the tree.
const NODE_COST: usize = size_of::<Node>() + 48;
/// Bytes that an allocation takes beside what it holds.
const ALLOCATION: usize = 16;

/// Directories of the layer that is being applied.
type Own = HashSet<Vec<u8>>;

/// All names and what they lead to.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) names: Names,
    /// Folders that there have been.
    pub(super) folders: u32,
    limit: u32,
    steps: u64,
    /// Bytes of link targets, and of the directories of the layer that is being applied.
    cost: usize,
    memory: usize,
}

impl Tree {
    /// A tree of at most `limit` objects, replaced ones included.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            nodes: vec![Node::directory(ROOT, ROOT)],
            names: Names::default(),
            folders: 1,
            limit,
            steps: 0,
            cost: 0,
            memory: 0,
        }
    }

    /// Applies the next layer, in at most `memory` bytes for all applied so far.
    pub(super) fn apply(&mut self, layer: u32, scan: &Scan, memory: usize) -> Result<(), EntryError> {
        self.memory = memory;
        let before = self.cost;
        let at = |scanned: &Scanned<'_>| {
            let entry = shown(scanned.path);
            move |fault| EntryError { entry, fault }
        };
        // Whiteouts first: wherever in the archive they stand, they concern older layers only. What a hard link before
        // one leads to is remembered, since it is still there at that place of the archive.
        let mut own = Own::default();
        let mut hidden_later: Vec<(u32, Id)> = Vec::new();
        let hides = scan.members().any(|scanned| is_whiteout(scanned.path));
        for (ordinal, scanned) in (0..).zip(scan.members()) {
            let names = components(scanned.path).map_err(at(&scanned))?;
            match meaning(names).map_err(at(&scanned))? {
                Meaning::Opaque(folder) => self.empty(&folder, &own),
                Meaning::Hidden(names) => self.hide(&names, &own),
                Meaning::Entry(names) if scanned.kind == ScannedKind::Directory => {
                    let path = names.join(&b'/');
                    // The set's slots at its emptiest.
                    self.cost += path.len() + ALLOCATION + 4 * size_of::<Vec<u8>>();
                    self.check().map_err(at(&scanned))?;
                    own.insert(path);
                }
                Meaning::Entry(_) if hides && scanned.kind == ScannedKind::HardLink => {
                    if let Ok(id) = self.link_target(scanned.target) {
                        self.cost += 2 * size_of::<(u32, Id)>();
                        self.check().map_err(at(&scanned))?;
                        hidden_later.push((ordinal, id));
                    }
                }
                Meaning::Entry(_) | Meaning::Nothing => {}
            }
        }
        let mut kept = 0;
        for (ordinal, scanned) in (0..).zip(scan.members()) {
            let names = components(scanned.path).map_err(at(&scanned))?;
            if let Meaning::Entry(names) = meaning(names).map_err(at(&scanned))? {
                if scanned.kind == ScannedKind::Symlink {
                    self.cost += scanned.target.len() + ALLOCATION;
                    kept += scanned.target.len() + ALLOCATION;
                }
                let known = hidden_later.binary_search_by_key(&ordinal, |(link, _)| *link);
                let hidden = known.ok().map(|at| hidden_later[at].1);
                let put = self.put(&names, &scanned, Source { layer, ordinal }, hidden);
                put.and_then(|()| self.check()).map_err(at(&scanned))?;
            }
        }
        drop(own);
        self.cost = before + kept;
        Ok(())
    }

    fn check(&self) -> Result<(), Fault> {
        let cost = self.nodes.len() * NODE_COST + self.folders as usize * 8 + self.names.cost() + self.cost;
        match cost > self.memory {
            true => Err(Fault::TooMuchMemory(self.memory)),
            false => Ok(()),
        }
    }

    /// Whether there is something at a plain path.
    pub(super) fn contains(&self, path: &[u8]) -> bool {
        let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        names.try_fold(ROOT, |at, name| self.child(at, name)).is_some()
    }

    /// Puts a member at its place. A hard link to what is not there any more leads to `hidden`.
    fn put(
        &mut self,
        names: &[&[u8]],
        scanned: &Scanned<'_>,
        source: Source,
        hidden: Option<Id>,
    ) -> Result<(), Fault> {
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
                let id = match (self.link_target(scanned.target), hidden) {
                    (Err(Fault::LinkTargetMissing(_)), Some(hidden)) => hidden,
                    (found, _) => found?,
                };
                self.name(parent, name, id);
                return Ok(());
            }
            ScannedKind::Directory => {
                if let Some(id) = there
                    && self.is_directory(id)
                {
                    self.nodes[id as usize].source = Some(source);
                    return Ok(());
                }
                Body::Directory {
                    parent,
                    folder: self.new_folder(),
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
        match self.is_directory(id) {
            true => Err(directory()),
            false => Ok(id),
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
            && let Some(folder) = self.folder(parent)
        {
            self.names.remove(folder, name);
        }
    }

    /// Removes what older layers have in a folder, if it is there.
    fn empty(&mut self, folder: &[&[u8]], own: &Own) {
        if self.replaces_a_link(folder, own) {
            return;
        }
        if let Ok(Some(at)) = self.walk(folder, false) {
            let empty = self.new_folder();
            if let Body::Directory { folder, .. } = &mut self.nodes[at as usize].body {
                *folder = empty;
            }
        }
    }

    /// Whether a layer has, before a whiteout in it, put a directory where older layers have a link: then that is what
    /// the whiteout is in, and older layers have nothing there.
    fn replaces_a_link(&self, folder: &[&[u8]], own: &Own) -> bool {
        let mut at = ROOT;
        for (index, name) in folder.iter().enumerate() {
            match self.child(at, name) {
                Some(id) if self.is_directory(id) => at = id,
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
                let folder = self.new_folder();
                let id = self.push(Node::directory(at, folder))?;
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
                Body::Leaf(_) => return Err(Fault::ParentNotDirectory(shown(&name))),
            }
        }
        Ok(Some(at))
    }

    /// Gives a node a name, over whatever had it.
    fn name(&mut self, parent: Id, name: &[u8], id: Id) {
        let folder = self.folder(parent).expect("walks end at directories");
        self.names.set(folder, name, id);
    }

    fn new_folder(&mut self) -> u32 {
        self.folders += 1;
        self.folders - 1
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
        self.names.get(self.folder(directory)?, name)
    }

    /// What the names of a directory are found under.
    fn folder(&self, id: Id) -> Option<u32> {
        match &self.nodes[id as usize].body {
            Body::Directory { folder, .. } => Some(*folder),
            _ => None,
        }
    }

    fn is_directory(&self, id: Id) -> bool {
        self.folder(id).is_some()
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
    fn directory(parent: Id, folder: u32) -> Self {
        Self {
            source: None,
            body: Body::Directory { parent, folder },
        }
    }
}
