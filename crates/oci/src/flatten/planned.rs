//! Two passes: the final tree of names first, from headers alone, then the data of what is in it.

use tarball::{Archive, Entry, Kind, shown};

use super::ahead::Ahead;
use super::paths::Paths;
use super::plan::Plan;
use super::scan::Scan;
use super::tree::{Id, Tree};
use super::{Found, Limits, Open, scan};
use crate::error::OciError;
use crate::fault::Fault;
use crate::layer::Layer;
use crate::meter::Meter;
use progress::Cancel;

/// The layers that are left to give out, by plan.
#[derive(Debug)]
pub(super) struct Planned {
    plan: Plan,
    /// Layers that have not been started.
    left: usize,
    layer: usize,
    pub(super) open: Option<Open>,
    /// Ordinal of the archive's next member.
    next: u32,
    /// Next of what the plan wants of this layer.
    wanted: usize,
    /// Names still to be given to the entry before.
    links: Option<Links>,
    meter: Meter,
}

#[derive(Debug)]
struct Links {
    first: Entry,
    node: Id,
    given: usize,
}

impl Planned {
    /// Reads the headers of all layers, to give out the oldest `left` of them. Of the newest of those `given` has been
    /// given out before. It comes again, and so replaces itself; what would not, cannot be taken back.
    pub(super) fn new(
        layers: &[Layer],
        left: usize,
        given: Paths,
        limits: &Limits,
        cancel: &Cancel,
        meter: &Meter,
    ) -> Result<Self, OciError> {
        let bytes = |layers: &[Layer]| layers.iter().map(Layer::bytes).sum::<u64>();
        meter.expect(bytes(layers).saturating_add(bytes(&layers[..left])));
        let mut tree = Tree::new(limits.entries);
        let whole = limits.memory;
        let limits = &Limits {
            memory: whole.saturating_sub(given.cost()),
            ..*limits
        };
        let scans =
            scan::scan_all(layers, limits, cancel, meter).map_err(|error| error.with_memory(whole))?;
        let mut scanned: usize = scans.iter().map(Scan::cost).sum();
        for (index, (layer, scan)) in (0..).zip(layers.iter().zip(scans)) {
            cancel.check()?;
            let memory = limits.memory.saturating_sub(scanned);
            tree.apply(index, &scan, memory)
                .map_err(|error| OciError::in_layer(layer.name(), error).with_memory(whole))?;
            scanned -= scan.cost();
        }
        for path in given.given() {
            if !tree.contains(&path) {
                return Err(OciError::Entry {
                    layer: layers[left - 1].name().to_owned(),
                    entry: shown(&path),
                    fault: Fault::TakenBack,
                });
            }
        }
        drop(given);
        Ok(Self {
            plan: Plan::new(tree, layers.len()),
            left,
            layer: left,
            open: None,
            next: 0,
            wanted: 0,
            links: None,
            meter: meter.clone(),
        })
    }

    /// The layer that is being read.
    pub(super) fn layer(&self) -> usize {
        self.layer
    }

    pub(super) fn step(&mut self, layers: &[Layer], cancel: &Cancel) -> Result<Option<Found>, OciError> {
        loop {
            if let Some(entry) = self.next_link() {
                return Ok(Some(Found { entry, map: None }));
            }
            let Some(open) = &mut self.open else {
                if !self.start_layer(layers, cancel)? {
                    return Ok(None);
                }
                continue;
            };
            let Some((ordinal, node)) = self.plan.wanted[self.layer].get(self.wanted).copied() else {
                self.open = None;
                continue;
            };
            let name = layers[self.layer].name();
            let mut member = None;
            while self.next <= ordinal {
                member = open.0.next().map_err(|error| OciError::in_layer(name, error))?;
                self.next += 1;
                if member.is_none() {
                    break;
                }
            }
            let changed = |entry| OciError::Entry {
                layer: name.to_owned(),
                entry,
                fault: Fault::Changed,
            };
            let mut member = member.ok_or_else(|| changed("(end)".to_owned()))?;
            if !self.plan.is_of_kind(node, &member.entry.kind) {
                return Err(changed(shown(&member.entry.path)));
            }
            self.wanted += 1;
            member.entry.path = self.plan.path(node);
            self.links = Some(Links {
                first: Entry {
                    xattrs: Vec::new(),
                    ..member.entry.clone()
                },
                node,
                given: 0,
            });
            return Ok(Some(Found {
                entry: member.entry,
                map: member.map,
            }));
        }
    }

    /// One more name of the entry before.
    fn next_link(&mut self) -> Option<Entry> {
        let links = self.links.as_mut()?;
        let Some(path) = self.plan.other_path(links.node, links.given) else {
            self.links = None;
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
    fn start_layer(&mut self, layers: &[Layer], cancel: &Cancel) -> Result<bool, OciError> {
        while self.left > 0 {
            self.left -= 1;
            if self.plan.wanted[self.left].is_empty() {
                self.meter.pass(layers[self.left].bytes());
                continue;
            }
            // Counted and bounded in the first pass.
            let source = layers[self.left].open(cancel, Default::default(), u64::MAX, &self.meter)?;
            self.open = Some(Open(Archive::new(Ahead::new(source))));
            (self.layer, self.next, self.wanted) = (self.left, 0, 0);
            return Ok(true);
        }
        Ok(false)
    }
}
