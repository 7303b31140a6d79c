//! What the surroundings say, as a value: tests make their own instead of changing the process's.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Environment variables and user of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    uid: u32,
}

impl Environment {
    /// An environment without variables.
    #[must_use]
    pub fn new(uid: u32) -> Self {
        Self {
            variables: BTreeMap::new(),
            uid,
        }
    }

    /// The calling process's own.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            uid: rustix::process::geteuid().as_raw(),
        }
    }

    /// The same with one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// Effective user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// A variable; an empty one counts as unset.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// A variable that holds an absolute path. The XDG base directory specification says that relative ones are to
    /// be ignored.
    #[must_use]
    pub fn absolute_path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }
}
