//! Layers into one stream of the entries that are left when all are applied.
//!
//! Two passes over each layer. The first reads headers only, of several layers at once, and checks the unpacked digest;
//! from it the final tree of names is made, as unpacking layer after layer would make it. The second streams the data of
//! what is in that tree, newest layer first. So nothing that is hidden is ever given out, hard links whose first name is
//! hidden keep their data, paths that lead through a link of another layer end where they would on a disk, and a
//! refused layer is known before anything is written. Memory goes by the number of entries, never by their size.
//!
//! Why not one pass: an entry's meaning depends on older layers (a parent that is a link there) and on later members of
//! its own (a hard link to a hidden file), so a single pass would have to guess or to keep data of what is hidden.

mod ahead;
mod plan;
mod scan;
mod tree;
mod whiteout;

use std::io::{self, Read};
use std::sync::Arc;

use self::ahead::Ahead;
use self::plan::Plan;
use crate::archive::{Archive, Content, Fault};
use crate::cancel::Cancel;
use crate::entry::{Entry, Kind, shown};
use crate::error::OciError;
use crate::layer::{Bounded, Layer};

/// Bounds on what all layers of an image may hold together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Members of archives, hidden ones included; and directories that have to be made beside them.
    pub entries: u32,
    /// Bytes of paths and link targets.
    pub names: u64,
    /// Bytes of unpacked archives.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            names: 512 << 20,
            bytes: 256 << 30,
        }
    }
}

/// Reads the layers' headers, oldest layer first in `layers`, and plans the merged tree.
///
/// # Errors
/// Each names the layer and the entry: a damaged or hostile archive, a `diff_id` that does not hold, a bound of
/// `limits`, or that the caller has cancelled.
pub fn flatten(layers: &[Layer], limits: &Limits, cancel: &Cancel) -> Result<Flattened, OciError> {
    let scans = scan::scan_all(layers, limits, cancel)?;
    let mut tree = tree::Tree::new(limits.entries);
    for (index, (layer, scan)) in layers.iter().zip(scans).enumerate() {
        cancel.check()?;
        tree.apply(index, &scan)
            .map_err(|error| OciError::in_layer(layer.name(), error))?;
    }
    Ok(Flattened {
        plan: Plan::new(tree, layers.len()),
        layers: layers.to_vec(),
        left: layers.len(),
        open: None,
        cancel: cancel.clone(),
    })
}

/// The stream of merged entries. Each path comes once. A directory may come after what is in it, and one that no layer
/// describes does not come at all. A hard link comes after the entry that it is one more name of.
#[derive(Debug)]
pub struct Flattened {
    plan: Plan,
    layers: Vec<Layer>,
    /// Layers that have not been started.
    left: usize,
    open: Option<Open>,
    cancel: Cancel,
}

/// The layer that is being read.
#[derive(Debug)]
struct Open {
    layer: usize,
    archive: Archive<Ahead>,
    /// Ordinal of the archive's next member.
    next: u32,
    /// Next of what the plan wants of this layer.
    wanted: usize,
    /// Names still to be given to the entry before.
    links: Option<Links>,
}

#[derive(Debug)]
struct Links {
    first: Entry,
    node: tree::Id,
    given: usize,
}

/// One merged entry. For a regular file it reads as its data, exactly as many bytes as its size; it may be dropped
/// unread.
#[derive(Debug)]
pub struct Merged<'f> {
    /// Everything but the data.
    pub entry: Entry,
    content: Option<Content<'f, Ahead>>,
}

impl Read for Merged<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Some(content) => content.read(buffer),
            None => Ok(0),
        }
    }
}

impl Flattened {
    /// Entries that will come, hard links included.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.plan.entries
    }

    /// Bytes of all regular files that will come, holes included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.plan.bytes
    }

    /// The next entry.
    ///
    /// # Errors
    /// As [`flatten`]; once failed the stream is of no more use.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend the data")]
    pub fn next(&mut self) -> Result<Option<Merged<'_>>, OciError> {
        loop {
            self.cancel.check()?;
            if let Some(entry) = self.next_link() {
                return Ok(Some(Merged { entry, content: None }));
            }
            let Some(open) = &mut self.open else {
                if !self.start_layer()? {
                    return Ok(None);
                }
                continue;
            };
            let Some((ordinal, node)) = self.plan.wanted[open.layer].get(open.wanted).copied() else {
                self.open = None;
                continue;
            };
            let name = self.layers[open.layer].name();
            let mut member = None;
            while open.next <= ordinal {
                member = open
                    .archive
                    .next()
                    .map_err(|error| OciError::in_layer(name, error))?;
                open.next += 1;
                if member.is_none() {
                    break;
                }
            }
            let changed = |entry| OciError::Entry {
                layer: name.to_owned(),
                entry,
                fault: Fault::Field("place: the layer changed while it was read"),
            };
            let mut member = member.ok_or_else(|| changed("(end)".to_owned()))?;
            if !self.plan.is_of_kind(node, &member.entry.kind) {
                return Err(changed(shown(&member.entry.path)));
            }
            open.wanted += 1;
            member.entry.path = self.plan.path(node);
            open.links = Some(Links {
                first: Entry {
                    xattrs: Vec::new(),
                    ..member.entry.clone()
                },
                node,
                given: 0,
            });
            let content = match member.entry.kind {
                Kind::File { .. } => Some(member.map),
                _ => None,
            };
            // Taken anew, since the borrow above ends with the loop's turn.
            let archive = &mut self.open.as_mut().expect("it was open").archive;
            return Ok(Some(Merged {
                entry: member.entry,
                content: content.map(|map| archive.content(map)),
            }));
        }
    }

    /// One more name of the entry before.
    fn next_link(&mut self) -> Option<Entry> {
        let open = self.open.as_mut()?;
        let links = open.links.as_mut()?;
        let Some(path) = self.plan.other_path(links.node, links.given) else {
            open.links = None;
            return None;
        };
        links.given += 1;
        Some(Entry {
            kind: Kind::HardLink {
                target: links.first.path.clone(),
            },
            path,
            ..links.first.clone()
        })
    }

    /// Opens the next layer of which anything is wanted.
    fn start_layer(&mut self) -> Result<bool, OciError> {
        while self.left > 0 {
            self.left -= 1;
            if self.plan.wanted[self.left].is_empty() {
                continue;
            }
            let unpacked = Bounded {
                source: self.layers[self.left].unpack()?,
                cancel: self.cancel.clone(),
                read: Arc::default(),
                limit: u64::MAX,
            };
            self.open = Some(Open {
                layer: self.left,
                archive: Archive::new(Ahead::new(unpacked)),
                next: 0,
                wanted: 0,
                links: None,
            });
            return Ok(true);
        }
        Ok(false)
    }
}
