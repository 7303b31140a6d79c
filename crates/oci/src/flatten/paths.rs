//! What one layer has said of paths so far, held compactly.

use tarball::{NAME_COST, Names};

/// A path, by the number in which it came.
pub(super) type Id = u32;
const ROOT: Id = 0;

/// What a layer has said of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing; of the root alone.
    Nothing,
    /// A directory that no entry has described; only in the oldest layer.
    Implied,
    Directory {
        given: bool,
    },
    /// Something else, that newer layers hide.
    Hidden,
    /// Something else, given out.
    Given,
    /// One more name of something given out.
    LinkTo(Id),
}

impl Said {
    pub(super) fn is_directory(self) -> bool {
        matches!(self, Self::Implied | Self::Directory { .. })
    }

    fn is_given(self) -> bool {
        matches!(
            self,
            Self::Directory { given: true } | Self::Given | Self::LinkTo(_)
        )
    }
}

/// The paths of a layer. What is above a path of it is a directory of it.
#[derive(Debug)]
pub(super) struct Paths {
    names: Names,
    said: Vec<Said>,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            names: Names::default(),
            said: vec![Said::Nothing],
        }
    }
}

impl Paths {
    /// The path with these names, if the layer has said anything of it.
    pub(super) fn find(&self, names: &[&[u8]]) -> Option<Id> {
        names.iter().try_fold(ROOT, |at, name| self.names.get(at, name))
    }

    pub(super) fn said(&self, path: Id) -> Said {
        self.said[path as usize]
    }

    /// What the layer has said of the path with these names.
    pub(super) fn said_of(&self, names: &[&[u8]]) -> Option<Said> {
        let said = self.said(self.find(names)?);
        (said != Said::Nothing).then_some(said)
    }

    /// Whether this layer has said of a path that it is a directory. If it has, it has of all above it.
    pub(super) fn has_directory(&self, names: &[&[u8]]) -> bool {
        names.is_empty() || self.said_of(names).is_some_and(Said::is_directory)
    }

    /// Notes a path below one that is known.
    pub(super) fn say(&mut self, names: &[&[u8]], said: Said) {
        let Some((name, parents)) = names.split_last() else {
            self.said[ROOT as usize] = said;
            return;
        };
        let parent = self.find(parents).expect("said only below what is known");
        self.say_in(parent, name, said);
    }

    /// Makes the directories on the way, the missing ones implied; `made` is asked for each of these with the length of
    /// its path. Nothing where something else is on the way.
    pub(super) fn imply<E>(
        &mut self,
        names: &[&[u8]],
        mut made: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<bool, E> {
        let (mut at, mut length) = (ROOT, 0);
        for name in names {
            length += name.len() + 1;
            at = match self.names.get(at, name) {
                Some(id) if self.said(id).is_directory() => id,
                Some(_) => return Ok(false),
                None => {
                    made(length - 1)?;
                    self.say_in(at, name, Said::Implied)
                }
            };
        }
        Ok(true)
    }

    fn say_in(&mut self, parent: Id, name: &[u8], said: Said) -> Id {
        if let Some(known) = self.names.get(parent, name) {
            self.said[known as usize] = said;
            return known;
        }
        let id = self.said.len() as Id;
        self.names.set(parent, name, id);
        self.said.push(said);
        id
    }

    /// The names of a path.
    pub(super) fn names_of(&self, mut path: Id) -> Vec<&[u8]> {
        let mut names = Vec::new();
        while path != ROOT {
            // Names and paths are counted alike, but for the root.
            let (folder, name) = self.names.nth(path - 1);
            names.push(name);
            path = folder;
        }
        names.reverse();
        names
    }

    /// All paths with what is said of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, Said)> {
        (0..).zip(self.said.iter().copied())
    }

    /// Paths that this layer has given out.
    pub(super) fn given(&self) -> impl Iterator<Item = Vec<u8>> {
        let given = self.iter().filter(|(_, said)| said.is_given());
        given.map(|(path, _)| self.names_of(path).join(&b'/'))
    }

    /// Bytes that it takes.
    pub(super) fn cost(&self) -> usize {
        self.names.cost() + self.said.len() * size_of::<Said>()
    }

    /// Bytes that it takes at most for a name beside those of the name.
    pub(super) const COST: usize = NAME_COST + size_of::<Said>();
}
