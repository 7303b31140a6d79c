//! The tree as it grows: inodes and names, with later entries replacing earlier ones.

use std::collections::BTreeMap;

use tarball::{Timestamp, shown};

use super::content::Content;
use super::error::ErofsError;
use super::format::mode;
use super::path::components;
use super::xattr::XattrId;

/// An index into [`Tree::inodes`].
pub(crate) type InodeId = u32;
/// The root directory.
pub(crate) const ROOT: InodeId = 0;

#[derive(Debug)]
pub(crate) struct Inode {
    /// Permissions with the type's bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Timestamp,
    pub(crate) xattrs: Box<[XattrId]>,
    /// Names that lead here; for a directory set when the image is laid out.
    pub(crate) links: u32,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Directory {
        parent: InodeId,
        names: BTreeMap<Box<[u8]>, InodeId>,
    },
    /// A regular file or a symbolic link.
    Stored {
        size: u64,
        content: Content,
    },
    Device {
        number: u32,
    },
    /// A fifo, a socket, or what has been replaced.
    Nothing,
}

impl Inode {
    fn made_directory(parent: InodeId) -> Self {
        Self {
            mode: mode::DIRECTORY | 0o755,
            uid: 0,
            gid: 0,
            modified: Timestamp::default(),
            xattrs: Box::default(),
            links: 1,
            body: Body::Directory {
                parent,
                names: BTreeMap::new(),
            },
        }
    }
}

/// All inodes and names.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) inodes: Vec<Inode>,
    limit: u32,
}

/// A place for an entry: the directory it goes to and its name there.
#[derive(Debug)]
pub(crate) enum Place<'p> {
    Root,
    In { parent: InodeId, name: &'p [u8] },
}

impl Tree {
    /// A tree of at most `limit` inodes.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            inodes: vec![Inode::made_directory(ROOT)],
            limit,
        }
    }

    /// Finds the place for an entry, making the directories above it.
    pub(crate) fn place<'p>(&mut self, path: &'p [u8]) -> Result<Place<'p>, ErofsError> {
        let names = components(path)?;
        let Some((name, parents)) = names.split_last() else {
            return Ok(Place::Root);
        };
        let mut at = ROOT;
        for parent in parents {
            at = match self.child(at, parent) {
                Some(id) => id,
                None => {
                    let id = self.push(path, Inode::made_directory(at))?;
                    self.names(at)
                        .expect("walked directories only")
                        .insert((*parent).into(), id);
                    id
                }
            };
            if self.names(at).is_none() {
                return Err(ErofsError::ParentNotDirectory {
                    entry: shown(path),
                    parent: shown(parent),
                });
            }
        }
        Ok(Place::In { parent: at, name })
    }

    /// The inode at a path, if there is one. Symbolic links are not followed.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Option<InodeId>, ErofsError> {
        let mut at = ROOT;
        for name in components(path)? {
            match self.child(at, name) {
                Some(id) => at = id,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// Puts a new inode at a place, over whatever is there. A directory over a directory keeps the names.
    pub(crate) fn put(&mut self, path: &[u8], place: &Place<'_>, mut inode: Inode) -> Result<(), ErofsError> {
        let there = match place {
            Place::Root => Some(ROOT),
            Place::In { parent, name } => self.child(*parent, name),
        };
        if let (Some(id), Body::Directory { .. }) = (there, &inode.body)
            && self.names(id).is_some()
        {
            let old = &mut self.inodes[id as usize];
            let body = std::mem::replace(&mut old.body, Body::Nothing);
            *old = Inode {
                links: old.links,
                body,
                ..inode
            };
            return Ok(());
        }
        let Place::In { parent, name } = place else {
            return Err(ErofsError::RootNotDirectory { entry: shown(path) });
        };
        if let Body::Directory { parent: up, .. } = &mut inode.body {
            *up = *parent;
        }
        let id = self.push(path, inode)?;
        self.name(*parent, name, id);
        Ok(())
    }

    /// Gives the inode at `target` one more name.
    pub(crate) fn link(&mut self, path: &[u8], place: &Place<'_>, target: &[u8]) -> Result<(), ErofsError> {
        let Some(id) = self.find(target)? else {
            return Err(ErofsError::LinkTargetMissing {
                entry: shown(path),
                target: shown(target),
            });
        };
        if self.names(id).is_some() {
            return Err(ErofsError::LinkToDirectory {
                entry: shown(path),
                target: shown(target),
            });
        }
        let Place::In { parent, name } = place else {
            return Err(ErofsError::RootNotDirectory { entry: shown(path) });
        };
        if self.child(*parent, name) == Some(id) {
            return Ok(());
        }
        self.inodes[id as usize].links += 1;
        self.name(*parent, name, id);
        Ok(())
    }

    fn push(&mut self, path: &[u8], inode: Inode) -> Result<InodeId, ErofsError> {
        match InodeId::try_from(self.inodes.len()) {
            Ok(id) if id < self.limit => {
                self.inodes.push(inode);
                Ok(id)
            }
            _ => Err(ErofsError::TooManyEntries {
                entry: shown(path),
                limit: self.limit,
            }),
        }
    }

    fn name(&mut self, parent: InodeId, name: &[u8], id: InodeId) {
        let old = self
            .names(parent)
            .expect("places are in directories")
            .insert(name.into(), id);
        if let Some(old) = old {
            self.unlink(old);
        }
    }

    /// Takes a name from an inode, and from all below it.
    fn unlink(&mut self, id: InodeId) {
        let mut gone = vec![id];
        while let Some(id) = gone.pop() {
            let inode = &mut self.inodes[id as usize];
            inode.links -= 1;
            if inode.links == 0
                && let Body::Directory { names, .. } = std::mem::replace(&mut inode.body, Body::Nothing)
            {
                gone.extend(names.into_values());
            }
        }
    }

    fn child(&self, parent: InodeId, name: &[u8]) -> Option<InodeId> {
        match &self.inodes[parent as usize].body {
            Body::Directory { names, .. } => names.get(name).copied(),
            _ => None,
        }
    }

    fn names(&mut self, id: InodeId) -> Option<&mut BTreeMap<Box<[u8]>, InodeId>> {
        match &mut self.inodes[id as usize].body {
            Body::Directory { names, .. } => Some(names),
            _ => None,
        }
    }
}
