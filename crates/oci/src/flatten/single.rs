//! One pass: each layer read once, newest first, entries given out as they come. It knows when it cannot know: where
//! an entry's meaning depends on older layers or on what comes later, it says so and gives up.

use tarball::{Archive, ArchiveError, Kind, Member, shown};

use super::ahead::Ahead;
use super::budget::Budget;
use super::paths::{Paths, Said};
use super::tree::check_target;
use super::upper::Upper;
use super::whiteout::{Meaning, meaning};
use super::{Found, Open};
use crate::error::OciError;
use crate::fault::{EntryError, Fault, components};
use crate::layer::Layer;
use progress::Cancel;

/// What one step brings.
pub(super) enum Step {
    Entry(Found),
    /// All layers are read.
    End,
    /// This layer cannot be merged in one pass.
    Unsure,
}

/// The layers from the newest down to the one at hand.
#[derive(Debug)]
pub(super) struct Single {
    budget: Budget,
    upper: Upper,
    /// Layers that are not yet finished, the one at hand among them.
    pub(super) left: usize,
    pub(super) open: Option<Open>,
    own: Own,
}

/// What the layer at hand has shown so far.
#[derive(Debug, Default)]
struct Own {
    paths: Paths,
    /// What whiteouts hide from older layers, and directories closed to them, once this layer is through.
    hidden: Vec<Box<[u8]>>,
    closed_below: Vec<Box<[u8]>>,
    /// Bytes of those two, and of what they become.
    whiteouts: usize,
}

/// An entry's place in the decision.
enum Verdict {
    /// Under this path, as this.
    Give(Vec<u8>, Kind),
    Leave,
    Unsure,
}

impl Single {
    pub(super) fn new(budget: Budget, layers: usize) -> Self {
        Self {
            budget,
            upper: Upper::default(),
            left: layers,
            open: None,
            own: Own::default(),
        }
    }

    pub(super) fn step(&mut self, layers: &[Layer], cancel: &Cancel) -> Result<Step, OciError> {
        loop {
            let Some(layer) = self.left.checked_sub(1).map(|index| &layers[index]) else {
                return Ok(Step::End);
            };
            let in_layer = |error: ArchiveError| OciError::in_layer(layer.name(), error);
            let archive = match &mut self.open {
                Some(open) => &mut open.0,
                None => {
                    let source = self.budget.open(layer, cancel)?;
                    let archive = Archive::new(Ahead::new(source));
                    &mut self.open.insert(Open(archive)).0
                }
            };
            let Some(member) = archive.next().map_err(in_layer)? else {
                let open = self.open.take().expect("it was read");
                // To its very end, where its digest is checked.
                open.finish().map_err(in_layer)?;
                self.close_layer();
                self.left -= 1;
                continue;
            };
            let entry = &member.entry;
            let target: &[u8] = match &entry.kind {
                Kind::Symlink { target } | Kind::HardLink { target } => target,
                _ => b"",
            };
            self.budget.spend(entry.path.len() + target.len())?;
            let judged = self.judge(&member);
            let verdict = judged.and_then(|verdict| {
                self.budget.check_memory(self.cost())?;
                Ok(verdict)
            });
            let verdict = verdict.map_err(|fault| {
                OciError::in_layer(
                    layer.name(),
                    EntryError {
                        entry: shown(&entry.path),
                        fault,
                    },
                )
            })?;
            match verdict {
                Verdict::Unsure => {
                    self.open = None;
                    return Ok(Step::Unsure);
                }
                Verdict::Leave => {}
                Verdict::Give(path, kind) => return Ok(Step::Entry(Found::new(member, path, kind))),
            }
        }
    }

    /// Bytes of memory that names take, also while this layer's become what is hidden from older ones.
    fn cost(&self) -> usize {
        let times = if self.left > 1 { 2 } else { 1 };
        self.own.paths.cost() * times + self.own.whiteouts + self.upper.cost()
    }

    /// Gives up; what is left is what this layer has given out.
    pub(super) fn give_up(&mut self) -> Paths {
        self.upper = Upper::default();
        self.open = None;
        std::mem::take(&mut self.own).paths
    }

    /// Whether a member is given out.
    fn judge(&mut self, member: &Member) -> Result<Verdict, Fault> {
        let entry = &member.entry;
        let names = match meaning(components(&entry.path)?)? {
            Meaning::Nothing => return Ok(Verdict::Leave),
            Meaning::Entry(names) => names,
            Meaning::Hidden(names) => {
                let parents = names.split_last().map_or(&[][..], |(_, parents)| parents);
                if !self.own.paths.has_directory(parents) {
                    return Ok(Verdict::Unsure);
                }
                let path = self.own.whiteout(&names);
                self.own.hidden.push(path);
                return Ok(Verdict::Leave);
            }
            Meaning::Opaque(folder) => {
                if !self.own.paths.has_directory(&folder) {
                    return Ok(Verdict::Unsure);
                }
                let path = self.own.whiteout(&folder);
                self.own.closed_below.push(path);
                return Ok(Verdict::Leave);
            }
        };
        let known = self.own.paths.said_of(&names);
        let Some((_, parents)) = names.split_last() else {
            return match entry.kind {
                Kind::Directory if known.is_some() => Ok(Verdict::Unsure),
                Kind::Directory => Ok(self.directory(&names)),
                _ => Err(Fault::RootNotDirectory),
            };
        };
        let oldest = self.left == 1;
        if !(known.is_none() || known == Some(Said::Implied) && entry.kind == Kind::Directory) {
            return Ok(Verdict::Unsure);
        }
        let known_parents = self.own.paths.has_directory(parents) || oldest && self.imply(parents)?;
        if !known_parents {
            return Ok(Verdict::Unsure);
        }
        if entry.kind == Kind::Directory {
            return Ok(self.directory(&names));
        }
        let seen = self.upper.sees(&names);
        let mut kind = entry.kind.clone();
        let mut found = if seen { Said::Given } else { Said::Hidden };
        match &mut kind {
            Kind::HardLink { target } if seen => {
                let paths = &self.own.paths;
                let link = paths.find(&components(target)?);
                let first = match link.map(|link| (link, paths.said(link))) {
                    Some((link, Said::Given)) => link,
                    Some((_, Said::LinkTo(first))) => first,
                    _ => return Ok(Verdict::Unsure),
                };
                *target = paths.names_of(first).join(&b'/');
                found = Said::LinkTo(first);
            }
            Kind::Symlink { target } => check_target(target)?,
            _ => {}
        }
        self.own.paths.say(&names, found);
        Ok(match seen {
            true => Verdict::Give(names.join(&b'/'), kind),
            false => Verdict::Leave,
        })
    }

    fn directory(&mut self, names: &[&[u8]]) -> Verdict {
        let given = self.upper.sees(names);
        self.own.paths.say(names, Said::Directory { given });
        if !given {
            return Verdict::Leave;
        }
        if self.left > 1 {
            self.upper.claim_directory(names);
        }
        let path = match names {
            [] => b".".to_vec(),
            names => names.join(&b'/'),
        };
        Verdict::Give(path, Kind::Directory)
    }

    /// Makes the directories above an entry of the oldest layer, unless something else is there.
    fn imply(&mut self, parents: &[&[u8]]) -> Result<bool, Fault> {
        let budget = &self.budget;
        self.own.paths.imply(parents, |length| {
            let spent = budget.spend(length);
            spent.map_err(|_| Fault::TooManyEntries(budget.entries()))
        })
    }

    /// Lets what the layer at hand hides take effect on older ones.
    fn close_layer(&mut self) {
        let own = std::mem::take(&mut self.own);
        if self.left == 1 {
            return;
        }
        for path in own.hidden {
            self.upper.close(&split(&path));
        }
        // What is no directory hides what older layers have below it, also where a newer directory hides it.
        for (path, said) in own.paths.iter() {
            if matches!(said, Said::Hidden | Said::Given | Said::LinkTo(_)) {
                self.upper.close(&own.paths.names_of(path));
            }
        }
        for path in own.closed_below {
            self.upper.close_below(&split(&path));
        }
    }
}

/// The names of a path that was joined; the root has none.
fn split(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect()
}

impl Own {
    /// A path of older layers that a whiteout tells of, counted.
    fn whiteout(&mut self, names: &[&[u8]]) -> Box<[u8]> {
        let path: Box<[u8]> = names.join(&b'/').into();
        // Kept, and then a name in what is hidden from older layers, with those above it if they are not there yet.
        self.whiteouts += 2 * (size_of_val(&path) + 16 + path.len()) + Paths::COST;
        path
    }
}
