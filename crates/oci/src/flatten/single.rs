//! One pass: each layer read once, newest first, entries given out as they come. It knows when it cannot know: where
//! an entry's meaning depends on older layers or on what comes later, it says so and gives up.

use std::collections::HashMap;

use tarball::{Archive, ArchiveError, Kind, Member, shown};

use super::ahead::Ahead;
use super::budget::Budget;
use super::tree::check_target;
use super::upper::Upper;
use super::whiteout::{Meaning, meaning};
use super::{Found, Open};
use crate::cancel::Cancel;
use crate::error::OciError;
use crate::fault::{EntryError, Fault, components};
use crate::layer::Layer;

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
    paths: HashMap<Box<[u8]>, Path>,
    /// What whiteouts hide from older layers, and directories closed to them, once this layer is through.
    hidden: Vec<Box<[u8]>>,
    closed_below: Vec<Box<[u8]>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Path {
    /// A directory that nobody has described; only in the oldest layer.
    Implied,
    Directory {
        given: bool,
    },
    /// Something else, that newer layers hide.
    Hidden,
    /// Something else, given out.
    Given,
    /// One more name of something given out.
    LinkTo(Box<[u8]>),
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
            let verdict = self.judge(&member).map_err(|fault| {
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

    /// Paths that this layer has given out.
    pub(super) fn given(&self) -> impl Iterator<Item = &[u8]> {
        let given = self.own.paths.iter().filter(|(_, kind)| {
            matches!(
                kind,
                Path::Directory { given: true } | Path::Given | Path::LinkTo(_)
            )
        });
        given.map(|(path, _)| &**path)
    }

    /// Whether a member is given out.
    fn judge(&mut self, member: &Member) -> Result<Verdict, Fault> {
        let entry = &member.entry;
        let names = match meaning(components(&entry.path)?)? {
            Meaning::Nothing => return Ok(Verdict::Leave),
            Meaning::Entry(names) => names,
            Meaning::Hidden(names) => {
                if !self
                    .own
                    .has_directory(names.split_last().map_or(&[], |(_, parents)| parents))
                {
                    return Ok(Verdict::Unsure);
                }
                self.own.hidden.push(names.join(&b'/').into());
                return Ok(Verdict::Leave);
            }
            Meaning::Opaque(folder) => {
                if !self.own.has_directory(&folder) {
                    return Ok(Verdict::Unsure);
                }
                self.own.closed_below.push(folder.join(&b'/').into());
                return Ok(Verdict::Leave);
            }
        };
        let path: Box<[u8]> = names.join(&b'/').into();
        let Some((_, parents)) = names.split_last() else {
            return match entry.kind {
                Kind::Directory if self.own.paths.contains_key(&path) => Ok(Verdict::Unsure),
                Kind::Directory => Ok(self.directory(path, &names)),
                _ => Err(Fault::RootNotDirectory),
            };
        };
        let oldest = self.left == 1;
        let known = self.own.paths.get(&path);
        if !(known.is_none() || known == Some(&Path::Implied) && entry.kind == Kind::Directory) {
            return Ok(Verdict::Unsure);
        }
        let known_parents = self.own.has_directory(parents) || oldest && self.imply(parents)?;
        if !known_parents {
            return Ok(Verdict::Unsure);
        }
        if entry.kind == Kind::Directory {
            return Ok(self.directory(path, &names));
        }
        let seen = self.upper.sees(&names);
        let mut kind = entry.kind.clone();
        let mut found = if seen { Path::Given } else { Path::Hidden };
        match &mut kind {
            Kind::HardLink { target } if seen => {
                let link: Box<[u8]> = components(target)?.join(&b'/').into();
                let first = match self.own.paths.get(&link) {
                    Some(Path::Given) => link,
                    Some(Path::LinkTo(first)) => first.clone(),
                    _ => return Ok(Verdict::Unsure),
                };
                *target = first.to_vec();
                found = Path::LinkTo(first);
            }
            Kind::Symlink { target } => check_target(target)?,
            _ => {}
        }
        self.own.paths.insert(path, found);
        Ok(match seen {
            true => Verdict::Give(names.join(&b'/'), kind),
            false => Verdict::Leave,
        })
    }

    fn directory(&mut self, path: Box<[u8]>, names: &[&[u8]]) -> Verdict {
        let given = self.upper.sees(names);
        self.own.paths.insert(path, Path::Directory { given });
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
        for length in (1..=parents.len()).rev() {
            let path = parents[..length].join(&b'/');
            match self.own.paths.get(path.as_slice()) {
                Some(Path::Directory { .. } | Path::Implied) => return Ok(true),
                Some(_) => return Ok(false),
                None => {
                    let spent = self.budget.spend(path.len());
                    spent.map_err(|_| Fault::TooManyEntries(self.budget.entries()))?;
                    self.own.paths.insert(path.into(), Path::Implied);
                }
            }
        }
        Ok(true)
    }

    /// Lets what the layer at hand hides take effect on older ones.
    fn close_layer(&mut self) {
        let own = std::mem::take(&mut self.own);
        if self.left == 1 {
            return;
        }
        // What is no directory hides what older layers have below it, also where a newer directory hides it.
        let others = own.paths.into_iter().filter_map(|(path, kind)| match kind {
            Path::Directory { .. } | Path::Implied => None,
            Path::Hidden | Path::Given | Path::LinkTo(_) => Some(path),
        });
        for path in own.hidden.into_iter().chain(others) {
            self.upper.close(&split(&path));
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
    /// Whether this layer has said of a path that it is a directory. If it has, it has of all above it.
    fn has_directory(&self, names: &[&[u8]]) -> bool {
        names.is_empty()
            || matches!(
                self.paths.get(names.join(&b'/').as_slice()),
                Some(Path::Directory { .. } | Path::Implied)
            )
    }
}
