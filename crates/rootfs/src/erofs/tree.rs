//! The tree as it grows: inodes and names, with later entries replacing earlier ones.
//!
//! All of it is in memory until the image is laid out, so it is counted and bounded: an archive of a few kilobytes can
//! have millions of folders.

use tarball::{Names, Timestamp, shown};

use super::content::Content;
use super::error::ErofsError;
use super::format::mode;
use super::path::components;
use super::xattr::XattrId;

/// An index into [`Tree::inodes`].
pub(crate) type InodeId = u32;
/// The root directory.
pub(crate) const ROOT: InodeId = 0;

/// Bytes that laying out the image takes for each inode: its place in the order, its plan, its offset.
const LAYOUT_COST: usize = 64;
/// Bytes that an allocation takes beside what it holds.
const ALLOCATION: usize = 16;

#[derive(Debug)]
pub(crate) struct Inode {
    /// Permissions with the type's bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Timestamp,
    pub(crate) xattrs: Box<[XattrId]>,
    /// Names that lead here; counted when the image is laid out.
    pub(crate) links: u32,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Directory {
        parent: InodeId,
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
            links: 0,
            body: Body::Directory { parent },
        }
    }

    /// Bytes that it takes, and that laying it out will take. What is kept of a file's data is counted elsewhere.
    fn cost(&self) -> usize {
        let xattrs = size_of_val(&*self.xattrs);
        let body = match &self.body {
            Body::Stored { content, .. } => content.cost(),
            _ => 0,
        };
        let boxes = [xattrs, body].into_iter().filter(|bytes| *bytes > 0);
        size_of::<Self>() + LAYOUT_COST + boxes.map(|bytes| bytes + ALLOCATION).sum::<usize>()
    }
}

/// All inodes and names.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) inodes: Vec<Inode>,
    pub(crate) names: Names,
    limit: u32,
    /// Bytes that inodes take, and the most that they may take together with the names.
    cost: usize,
    memory: usize,
}

/// A place for an entry: the directory it goes to and its name there.
#[derive(Debug)]
pub(crate) enum Place<'p> {
    Root,
    In { parent: InodeId, name: &'p [u8] },
}

impl Tree {
    /// A tree of at most `limit` inodes and `memory` bytes.
    pub(crate) fn new(limit: u32, memory: usize) -> Self {
        Self {
            inodes: vec![Inode::made_directory(ROOT)],
            names: Names::default(),
            limit,
            cost: 0,
            memory,
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
            at = match self.names.get(at, parent) {
                Some(id) => id,
                None => {
                    let id = self.push(path, Inode::made_directory(at))?;
                    self.name(path, at, parent, id)?;
                    id
                }
            };
            if !self.is_directory(at) {
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
            match self.names.get(at, name) {
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
            Place::In { parent, name } => self.names.get(*parent, name),
        };
        if let (Some(id), Body::Directory { .. }) = (there, &inode.body)
            && self.is_directory(id)
        {
            let old = &mut self.inodes[id as usize];
            let body = std::mem::replace(&mut old.body, Body::Nothing);
            *old = Inode { body, ..inode };
            return Ok(());
        }
        let Place::In { parent, name } = place else {
            return Err(ErofsError::RootNotDirectory { entry: shown(path) });
        };
        if let Body::Directory { parent: up } = &mut inode.body {
            *up = *parent;
        }
        let id = self.push(path, inode)?;
        self.name(path, *parent, name, id)
    }

    /// Gives the inode at `target` one more name.
    pub(crate) fn link(&mut self, path: &[u8], place: &Place<'_>, target: &[u8]) -> Result<(), ErofsError> {
        let Some(id) = self.find(target)? else {
            return Err(ErofsError::LinkTargetMissing {
                entry: shown(path),
                target: shown(target),
            });
        };
        if self.is_directory(id) {
            return Err(ErofsError::LinkToDirectory {
                entry: shown(path),
                target: shown(target),
            });
        }
        let Place::In { parent, name } = place else {
            return Err(ErofsError::RootNotDirectory { entry: shown(path) });
        };
        self.name(path, *parent, name, id)
    }

    /// Counts memory that something else of the image takes.
    pub(crate) fn spend(&mut self, path: &[u8], bytes: usize) -> Result<(), ErofsError> {
        self.cost += bytes;
        match self.cost + self.names.cost() > self.memory {
            true => Err(ErofsError::TooMuchMemory {
                entry: shown(path),
                limit: self.memory,
            }),
            false => Ok(()),
        }
    }

    fn push(&mut self, path: &[u8], inode: Inode) -> Result<InodeId, ErofsError> {
        self.spend(path, inode.cost())?;
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

    /// Gives an inode a name, over whatever had it. What no name leads to any more is not laid out.
    fn name(&mut self, path: &[u8], parent: InodeId, name: &[u8], id: InodeId) -> Result<(), ErofsError> {
        self.names.set(parent, name, id);
        self.spend(path, 0)
    }

    fn is_directory(&self, id: InodeId) -> bool {
        matches!(self.inodes[id as usize].body, Body::Directory { .. })
    }
}
