//! The list of host keys that the user's ssh client checks VMs by (sshd(8), `SSH_KNOWN_HOSTS FILE FORMAT`).
//!
//! It is banger's alone: what is no line of a VM's is not kept.

use std::io::{self, Read};
use std::path::Path;

use super::keys;
use crate::{EngineError, plain_file};

/// What VMs are called by ssh clients: `NAME.vm`.
const SUFFIX: &str = ".vm";

/// Longest list: tens of thousands of VMs. A longer one is somebody else's, and is begun anew.
const LONGEST: u64 = 8 << 20;

/// The list in a file, which need not be there.
pub(super) struct KnownHosts<'a> {
    path: &'a Path,
}

impl<'a> KnownHosts<'a> {
    pub(super) fn at(path: &'a Path) -> Self {
        Self { path }
    }

    /// Makes `key` the only one of this VM.
    pub(super) fn set(&self, name: &str, key: &str) -> Result<(), EngineError> {
        let line = format!("{name}{SUFFIX} {key}");
        let text = self.read()?;
        if text
            .lines()
            .filter(|line| name_of(line) == Some(name))
            .eq([line.as_str()])
        {
            return Ok(());
        }
        let mut new = without(&text, |other| other != name);
        new.push_str(&line);
        new.push('\n');
        keys::write(self.path, new.as_bytes(), 0o600)
    }

    /// Takes VMs off the list.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) -> Result<(), EngineError> {
        let text = self.read()?;
        let new = without(&text, keep);
        if new == text {
            return Ok(());
        }
        keys::write(self.path, new.as_bytes(), 0o600)
    }

    fn read(&self) -> Result<String, EngineError> {
        let mut bytes = Vec::new();
        let read =
            plain_file::open_only(self.path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
        match read {
            Ok(length) if length as u64 > LONGEST => Ok(String::new()),
            Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(EngineError::file("read", self.path)(error)),
        }
    }
}

fn name_of(line: &str) -> Option<&str> {
    line.split(' ').next()?.strip_suffix(SUFFIX)
}

fn without(text: &str, keep: impl Fn(&str) -> bool) -> String {
    text.lines()
        .filter(|line| name_of(line).is_some_and(&keep))
        .flat_map(|line| [line, "\n"])
        .collect()
}
