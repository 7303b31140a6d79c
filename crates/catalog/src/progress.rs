//! How far a fetch or build is.

use std::fmt;
use std::sync::Arc;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Package lists are fetched and verified.
    Lists,
    /// Packages are fetched. Counted in bytes for one package, in packages for many.
    Download,
    /// Packages are unpacked, counted in packages.
    Unpack,
    /// Packages are configured, counted in packages.
    Configure,
    /// The recipe's own files, units and commands.
    Customize,
    /// The tree is written out.
    Pack,
    /// No part of the work: the detail is a line that the user should read, whatever becomes of it.
    Warning,
}

impl Stage {
    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lists => "lists",
            Self::Download => "download",
            Self::Unpack => "unpack",
            Self::Configure => "configure",
            Self::Customize => "customize",
            Self::Pack => "pack",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// What it is about at the moment: a package, an address. One line, may be empty.
    pub detail: String,
    /// How much is done, in the stage's unit.
    pub done: Option<u64>,
    /// Where it will end, if known.
    pub total: Option<u64>,
}

impl Progress {
    pub(crate) fn of(stage: Stage) -> Self {
        Self {
            stage,
            detail: String::new(),
            done: None,
            total: None,
        }
    }

    pub(crate) fn warning(line: String) -> Self {
        Self {
            detail: line,
            ..Self::of(Stage::Warning)
        }
    }
}

/// Whoever wants to know. Called from other threads, often.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;
