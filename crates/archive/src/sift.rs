//! A hostile stream written anew, for what unpacks it with less care than [`crate::unpack`]: the user's own tar, or
//! another guest.
//!
//! What goes on is of the tree that was asked for, under its name and no other; nothing lies below a link, nothing has
//! set-id bits or capabilities, and devices are left out. Headers are this program's own, whatever the stream's were.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead};

use bytes::Bytes;

use crate::attributes::{Attributes, CAPABILITIES};
use crate::error::{ArchiveError, shown};
use crate::header::kind;
use crate::member::{Kind, Member, Members};
use crate::pack::{PackOptions, Packer};
use crate::target::components;
use crate::top::{self, Top};
use crate::unpack::{Keep, Summary, umask};

/// Links of one stream that are remembered, by eight bytes each.
const LINKS: usize = 1 << 22;

/// Writes `stream` anew as the tree called `top`; `send` takes it, piece by piece. Of what the stream says, `keep`
/// tells whether modes are kept; [`Keep::owners`] stands for extended attributes and exact times as well.
///
/// # Errors
/// The stream is broken, or holds what is not of that tree. What was sent then ends with a line that says so to
/// whoever unpacks it.
pub fn sift(
    stream: impl BufRead,
    top: &Top,
    keep: Keep,
    send: &mut dyn FnMut(Bytes) -> io::Result<()>,
) -> Result<Summary, ArchiveError> {
    let mut sieve = Sieve {
        members: Members::new(stream),
        top,
        keep,
        umask: umask(),
        links: Links::default(),
        summary: Summary::default(),
    };
    let options = PackOptions { archive: keep.owners };
    let mut packer = Packer::new(options, top.name().to_vec(), send);
    match sieve.all(&mut packer) {
        Ok(()) => {
            packer.end()?;
            Ok(sieve.summary)
        }
        Err(error) => {
            // Nobody may take it any more; then that is the error already.
            let _ = packer.break_off(&error.line());
            Err(error)
        }
    }
}

struct Sieve<'a, R> {
    members: Members<R>,
    top: &'a Top,
    keep: Keep,
    umask: u32,
    links: Links,
    summary: Summary,
}

impl<R: BufRead> Sieve<'_, R> {
    fn all(&mut self, packer: &mut Packer<'_>) -> Result<(), ArchiveError> {
        let mut empty = true;
        while let Some(member) = self.members.next()? {
            empty = false;
            self.summary.entries += 1;
            self.summary.hear(self.members.warnings());
            self.member(member, packer)?;
        }
        if empty {
            return Err(ArchiveError::empty());
        }
        self.members.drain()?;
        self.summary.hear(self.members.warnings());
        Ok(())
    }

    fn member(&mut self, member: Member, packer: &mut Packer<'_>) -> Result<(), ArchiveError> {
        let Member {
            path,
            kind,
            attributes,
        } = member;
        let attributes = self.harmless(attributes, &kind);
        let names = self.names(&path)?;
        if names.is_empty() && kind != Kind::Directory {
            return Err(ArchiveError::refused(&path, "is no name"));
        }
        if self.links.has(&names) {
            // Who unpacks what goes on may write through the link.
            return Err(ArchiveError::refused(&path, "comes twice, once as a link"));
        }
        packer.path = self.called(&names);
        match kind {
            Kind::Directory => {
                packer.path.push(b'/');
                packer.head(kind::DIRECTORY, &attributes, 0, b"", (0, 0), &[])
            }
            Kind::File { size, map: None } => {
                packer.head(kind::FILE, &attributes, size, b"", (0, 0), &[])?;
                self.data(size, packer)?;
                packer.pad(size)
            }
            Kind::File { map: Some(map), .. } => {
                let size = packer.sparse_head(&attributes, &map)?;
                self.data(map.stored(), packer)?;
                packer.pad(size)
            }
            Kind::Symlink { target } => {
                if !self.links.add(&names) {
                    return Err(ArchiveError::refused(
                        &path,
                        "is one link too many for one stream",
                    ));
                }
                packer.head(kind::SYMLINK, &attributes, 0, &target, (0, 0), &[])
            }
            Kind::HardLink { target } => {
                let other = self.names(&target)?;
                if other.is_empty() {
                    return Err(ArchiveError::refused(&path, "is a second name for a folder"));
                }
                // A second name of a link is a link.
                if self.links.has(&other) && !self.links.add(&names) {
                    return Err(ArchiveError::refused(
                        &path,
                        "is one link too many for one stream",
                    ));
                }
                let target = self.called(&other);
                packer.head(kind::HARD_LINK, &attributes, 0, &target, (0, 0), &[])
            }
            Kind::Special { .. } => {
                self.summary
                    .warn(format!("`{}` is a device or a pipe: left out", shown(&path)));
                Ok(())
            }
        }
    }

    /// A path taken apart: of the tree, and not through a link.
    fn names<'p>(&self, path: &'p [u8]) -> Result<Vec<&'p [u8]>, ArchiveError> {
        let names = components(path)?;
        top::check(self.top.first(), path, &names)?;
        let above = names.len().saturating_sub(1);
        if (1..=above).any(|depth| self.links.has(&names[..depth])) {
            return Err(ArchiveError::refused(path, "lies behind a link"));
        }
        Ok(names)
    }

    /// The path in the stream that goes on.
    fn called(&self, names: &[&[u8]]) -> Vec<u8> {
        let mut path = match self.top {
            Top::Named(_) => Vec::new(),
            Top::Contents | Top::Nameless => b".".to_vec(),
        };
        for name in names {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        path
    }

    fn harmless(&self, mut attributes: Attributes, kind: &Kind) -> Attributes {
        attributes.mode &= match kind {
            Kind::Directory => 0o1777,
            _ => 0o777,
        };
        if !self.keep.modes {
            attributes.mode &= !self.umask;
        }
        attributes.xattrs.retain(|(name, _)| name != CAPABILITIES);
        attributes
    }

    fn data(&mut self, length: u64, packer: &mut Packer<'_>) -> Result<(), ArchiveError> {
        let mut left = length;
        while left > 0 {
            let mut data = self.members.data();
            let count = match data.fill_buf() {
                Ok(bytes) => {
                    let room = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    packer.put(&bytes[..room])?;
                    room
                }
                Err(error) => return Err(self.members.broken(error)),
            };
            data.consume(count);
            left -= count as u64;
        }
        self.summary.bytes += length;
        Ok(())
    }
}

/// The links that a stream has brought, by a number that no stream can foresee.
#[derive(Default)]
struct Links {
    random: RandomState,
    known: HashSet<u64>,
}

impl Links {
    fn has(&self, names: &[&[u8]]) -> bool {
        !self.known.is_empty() && self.known.contains(&self.random.hash_one(names))
    }

    /// `false` when there are too many.
    fn add(&mut self, names: &[&[u8]]) -> bool {
        self.known.insert(self.random.hash_one(names));
        self.known.len() <= LINKS
    }
}
