//! Layers into one stream of the entries that are left when all are applied.
//!
//! Layers are read newest first, so that nothing a later one hides is ever given out. Nearly always each is read once:
//! layers name the directories above what they hold, and link within themselves (`single`). Where an entry's meaning
//! depends on older layers (a parent that may be a link there, a hard link into one) or on a name that is hidden, it
//! cannot be told in one pass. Then the headers of all layers are read, the final tree is made as unpacking layer after
//! layer would make it, and the rest is given out from that plan (`planned`). Memory goes by the number of entries and
//! their names, never by their size; it is counted and bounded.

mod ahead;
mod budget;
mod paths;
mod plan;
mod planned;
mod scan;
mod single;
mod tree;
mod upper;
mod whiteout;

use std::io::{self, Read};

use self::ahead::Ahead;
use self::budget::Budget;
use self::planned::Planned;
use self::single::{Single, Step};
use tarball::{Archive, ArchiveError, Content, Entry, Kind, Member, SparseMap};

use crate::error::OciError;
use crate::layer::Layer;
use crate::meter::Meter;
use progress::Cancel;

/// Bounds on what all layers of an image may hold together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Members of archives, hidden ones included; and directories that have to be made beside them.
    pub entries: u32,
    /// Bytes of paths and link targets.
    pub names: u64,
    /// Bytes of unpacked archives.
    pub bytes: u64,
    /// Bytes of memory for the names: of one layer and what newer ones hide, or of all where merging needs a plan.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            names: 512 << 20,
            bytes: 256 << 30,
            memory: 160 << 20,
        }
    }
}

/// Merges layers, given oldest first. Nothing is read before the first entry is asked for.
#[must_use]
pub fn flatten(layers: &[Layer], limits: &Limits, cancel: &Cancel) -> Flattened {
    let meter = Meter::default();
    meter.expect(layers.iter().map(Layer::bytes).sum());
    Flattened {
        passes: Passes::One(Box::new(Single::new(
            Budget::new(*limits, meter.clone()),
            layers.len(),
        ))),
        meter,
        layers: layers.to_vec(),
        limits: *limits,
        cancel: cancel.clone(),
        plan_first: false,
    }
}

/// As [`flatten`], with the headers of all layers read before anything is given out: for images of which that fails with
/// what [`OciError::wants_plan`] knows, since a later entry of a layer takes back what has been given out of it.
#[must_use]
pub fn flatten_by_plan(layers: &[Layer], limits: &Limits, cancel: &Cancel) -> Flattened {
    Flattened {
        plan_first: true,
        ..flatten(layers, limits, cancel)
    }
}

/// The stream of merged entries.
///
/// A directory may come after what is in it; one that no layer describes does not come at all. A hard link comes after
/// the entry that it is one more name of. A path may come again: then the later one replaces the earlier, as in any
/// archive, and hard links that follow mean the later. That happens only within a layer that turns out to need a plan.
#[derive(Debug)]
pub struct Flattened {
    passes: Passes,
    layers: Vec<Layer>,
    limits: Limits,
    cancel: Cancel,
    plan_first: bool,
    meter: Meter,
}

#[derive(Debug)]
enum Passes {
    One(Box<Single>),
    Two(Box<Planned>),
}

/// The layer that is being read.
#[derive(Debug)]
struct Open(Archive<Ahead>);

impl Open {
    fn finish(self) -> Result<(), ArchiveError> {
        self.0.finish()
    }
}

/// What the next entry is, and how its data is stored.
struct Found {
    entry: Entry,
    map: Option<SparseMap>,
}

impl Found {
    /// A member under a plain path and as what it is in the merged tree.
    fn new(member: Member, path: Vec<u8>, kind: Kind) -> Self {
        Self {
            entry: Entry {
                path,
                kind,
                ..member.entry
            },
            map: member.map,
        }
    }
}

/// One merged entry. For a regular file it reads as its data, exactly as many bytes as its size; it may be dropped
/// unread. Where reading fails, [`Flattened::next`] fails too, and says more of it.
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
    /// The next entry. Only when there is none left are all layers known to be what the image says: what was made of
    /// entries before an error is to be thrown away.
    ///
    /// # Errors
    /// Each names the layer and the entry: a damaged or hostile archive, a digest that does not hold, a bound that is
    /// reached, or that the caller has cancelled. Once failed the stream is of no more use.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend the data")]
    pub fn next(&mut self) -> Result<Option<Merged<'_>>, OciError> {
        let Some(Found { entry, map }) = self.step()? else {
            self.meter.end();
            return Ok(None);
        };
        let open = match &mut self.passes {
            Passes::One(single) => single.open.as_mut(),
            Passes::Two(planned) => planned.open.as_mut(),
        };
        let content = match entry.kind {
            Kind::File { .. } => open.map(|open| open.0.content(map)),
            _ => None,
        };
        Ok(Some(Merged { entry, content }))
    }

    /// The layer that is being read, by its name.
    #[must_use]
    pub fn layer(&self) -> &str {
        let at = match &self.passes {
            Passes::One(single) => single.left.saturating_sub(1),
            Passes::Two(planned) => planned.layer(),
        };
        self.layers.get(at).map_or("", Layer::name)
    }

    /// What says how far it is, also while an entry's data is read.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Whether the headers of all layers had to be read first, so that layers were unpacked twice.
    #[must_use]
    pub fn needed_a_plan(&self) -> bool {
        matches!(self.passes, Passes::Two(_))
    }

    fn step(&mut self) -> Result<Option<Found>, OciError> {
        self.cancel.check()?;
        if let Passes::One(single) = &mut self.passes {
            if !self.plan_first {
                match single.step(&self.layers, &self.cancel)? {
                    Step::Entry(found) => return Ok(Some(found)),
                    Step::End => return Ok(None),
                    Step::Unsure => {}
                }
            }
            let left = single.left;
            tracing::debug!(layers = left, "merging needs a plan");
            let given = single.give_up();
            let planned = Planned::new(&self.layers, left, given, &self.limits, &self.cancel, &self.meter)?;
            self.passes = Passes::Two(Box::new(planned));
        }
        match &mut self.passes {
            Passes::Two(planned) => planned.step(&self.layers, &self.cancel),
            Passes::One(_) => unreachable!("replaced above"),
        }
    }
}
