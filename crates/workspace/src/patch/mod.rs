//! A patch from a guest, read before anything else reads it.
//!
//! Only what `git diff-tree -p --binary --full-index --no-renames` prints is a patch here; anything else is refused
//! with its line. What it would do is known after this: which files it makes, changes and deletes, and what of that
//! somebody should look at first.

mod binary;
mod bounds;
mod delta;
mod lines;
pub(crate) mod name;
mod parse;
mod quoted;
mod raw;
pub(crate) mod risk;

pub use bounds::{LARGEST_MEMORY, LARGEST_TEXT};
pub use parse::parse;
pub(crate) use raw::parse as parse_raw;
pub use risk::{Onto, Risk, RiskKind, Weight};

use std::path::Path;

use crate::error::{WorkspaceError, shown};
use crate::git::Git;
use crate::repository::Repository;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// Data.
    Plain,
    /// Data that can be run.
    Executable,
    /// A symbolic link.
    Link,
}

impl FileMode {
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        match text {
            b"100644" => Ok(Self::Plain),
            b"100755" => Ok(Self::Executable),
            b"120000" => Ok(Self::Link),
            b"160000" => Err("submodules are not taken"),
            _ => Err("no file has this mode"),
        }
    }
}

/// What a patch does to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path below the top of the working tree, checked.
    pub path: Vec<u8>,
    /// What was there; none for a new file.
    pub before: Option<FileMode>,
    /// What will be there; none for a deleted file.
    pub after: Option<FileMode>,
    /// Lines added and removed; none for binary data.
    pub lines: Option<(u64, u64)>,
    /// Bytes of the new version, where it is binary data.
    pub size: Option<u64>,
    /// What a new or changed link leads to, where the patch says all of it.
    pub(crate) target: Option<Vec<u8>>,
}

impl Change {
    /// The path as a person reads it.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.path)
    }
}

/// A patch that is understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Each file once.
    pub changes: Vec<Change>,
    /// Binary data that is made from older versions.
    deltas: Vec<delta::Delta>,
}

impl Patch {
    /// What to look at before this is applied, with what is there already.
    ///
    /// # Errors
    /// What is there cannot be read.
    pub fn risks(&self, repository: &Repository, onto: Onto<'_>) -> Result<Vec<Risk>, WorkspaceError> {
        let _rights = repository.rights()?;
        risk::of(&self.changes, repository, onto)
    }

    /// Refuses what claims to be a version that this git has and is another: git would take the one that it has, whatever
    /// the patch holds. `file` is what the patch was parsed from.
    pub(crate) fn check_claims(&self, git: &Git, file: &Path) -> Result<(), WorkspaceError> {
        delta::check(git, &self.deltas, file)
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}
