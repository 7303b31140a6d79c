//! Token servers that the user lets a registry's login go to: `<state>/trusted-realms.json`, by the registry's host.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use config::{Environment, Paths};
use rustix::fs::OFlags;

use crate::failure::Failure;

/// Largest file that is read.
const LARGEST: u64 = 1 << 20;

/// What the user has confirmed.
#[derive(Debug)]
pub struct Realms {
    path: PathBuf,
    hosts: BTreeMap<String, Vec<String>>,
}

impl Realms {
    /// Reads what there is.
    ///
    /// # Errors
    /// The state folder is not the user's own, or the file is damaged.
    pub fn of_user() -> Result<Self, Failure> {
        let failed = |error: config::PathsError| {
            let failure = Failure::new(format!("cannot tell which token servers are trusted: {error}"));
            match error.hint() {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            }
        };
        // Without a home nothing was ever confirmed, and nothing can be.
        let Ok(paths) = Paths::personal(&Environment::of_process()) else {
            return Ok(Self {
                path: PathBuf::new(),
                hosts: BTreeMap::new(),
            });
        };
        paths.check_state().map_err(failed)?;
        Self::at(paths.state().join("trusted-realms.json"))
    }

    fn at(path: PathBuf) -> Result<Self, Failure> {
        let hosts = read(&path).map_err(|error| {
            Failure::new(format!("cannot read {}: {error}", path.display()))
                .with_hint("remove it, and confirm the token servers again")
        })?;
        Ok(Self { path, hosts })
    }

    /// Those of a registry.
    pub fn of(&self, registry: &str) -> &[String] {
        self.hosts.get(registry).map_or(&[], Vec::as_slice)
    }

    /// Adds one, for good.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn trust(&mut self, registry: &str, realm: &str) -> Result<(), Failure> {
        let realms = self.hosts.entry(registry.to_owned()).or_default();
        if realms.iter().any(|known| known == realm) {
            return Ok(());
        }
        realms.push(realm.to_owned());
        self.write()
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", self.path.display())))
    }

    fn write(&self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut text = serde_json::to_vec_pretty(&self.hosts)?;
        text.push(b'\n');
        durable::write(&self.path, 0o600, &text)
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<String, Vec<String>>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_confirmed_is_kept_for_its_registry_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/trusted-realms.json");
        let read = || Realms::at(path.clone()).unwrap();
        assert!(read().of("r.x").is_empty());
        for realm in ["a.x", "b.x:8443", "a.x"] {
            read().trust("r.x", realm).unwrap();
        }
        assert_eq!(read().of("r.x"), ["a.x", "b.x:8443"]);
        assert!(read().of("other.x").is_empty());
    }

    #[test]
    fn a_damaged_file_is_told_and_trusts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trusted-realms.json");
        for text in ["", "{", "[]", "{\"r.x\": \"a.x\"}"] {
            std::fs::write(&path, text).unwrap();
            let failure = Realms::at(path.clone()).unwrap_err();
            assert!(failure.message().contains("trusted-realms.json"), "{text}");
        }
    }
}
