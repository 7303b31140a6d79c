//! Keys for ssh into guests: the user's, one for each VM, and the list by which the user's client knows the VMs.
//!
//! ```text
//! <state>/ssh/id_ed25519        the client's key (or `ssh_key_path`), made on first use
//! <state>/ssh/known_hosts       `NAME.vm` and host key of each VM that was connected to
//! <vm>/ssh_host_key             the VM's, made on first use, gone with the VM
//! ```
//!
//! The guest gets both keys through its agent with each connection. Since the host has made the VM's key, nothing has
//! to be trusted on first sight: the client checks strictly, also after another VM has taken the name.

mod keys;
mod known_hosts;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use config::Paths;

use crate::EngineError;
use known_hosts::KnownHosts;

/// What a connection to a guest takes.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The client's public key.
    pub(crate) client: String,
    /// The guest's private key.
    pub(crate) host_private: String,
    /// The guest's public key.
    pub(crate) host_public: String,
}

/// The keys of one daemon.
#[derive(Debug)]
pub(crate) struct SshKeys {
    client: PathBuf,
    known_hosts: PathBuf,
    /// Two first uses at once make one key.
    turn: Mutex<()>,
}

impl SshKeys {
    pub(crate) fn new(paths: &Paths) -> Self {
        Self {
            client: paths.ssh_key(),
            known_hosts: paths.ssh().join("known_hosts"),
            turn: Mutex::new(()),
        }
    }

    /// Makes the client's key where there is none, and says where all is.
    pub(crate) fn files(&self) -> Result<api::SshFiles, EngineError> {
        let _turn = self.turn();
        keys::client(&self.client)?;
        Ok(api::SshFiles {
            identity_file: self.client.display().to_string(),
            known_hosts: self.known_hosts.display().to_string(),
        })
    }

    /// The keys for a connection to a VM, made where they are missing. From here on the client knows the VM.
    pub(crate) fn of_vm(&self, name: &str, folder: &Path) -> Result<Keys, EngineError> {
        let _turn = self.turn();
        let client = keys::client(&self.client)?;
        let (host_private, host_public) = keys::host(&folder.join("ssh_host_key"))?;
        KnownHosts::at(&self.known_hosts).set(name, &host_public)?;
        Ok(Keys {
            client,
            host_private,
            host_public,
        })
    }

    /// Takes VMs that are gone off the list: all but these.
    pub(crate) fn keep_only(&self, names: &[String]) -> Result<(), EngineError> {
        let _turn = self.turn();
        KnownHosts::at(&self.known_hosts).retain(|name| names.iter().any(|kept| kept == name))
    }

    /// Takes a VM off the list.
    pub(crate) fn forget(&self, gone: &str) -> Result<(), EngineError> {
        let _turn = self.turn();
        KnownHosts::at(&self.known_hosts).retain(|name| name != gone)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn keys_in(folder: &Path) -> SshKeys {
        SshKeys {
            client: folder.join("id_ed25519"),
            known_hosts: folder.join("known_hosts"),
            turn: Mutex::new(()),
        }
    }

    #[test]
    fn keys_are_made_once_and_are_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&other).unwrap();
        let keys = keys_in(folder.path());
        let first = keys.of_vm("a", &one).unwrap();
        let again = keys.of_vm("a", &one).unwrap();
        assert_eq!(
            (&first.client, &first.host_public),
            (&again.client, &again.host_public)
        );
        assert!(first.client.starts_with("ssh-ed25519 "), "{}", first.client);
        let stranger = keys.of_vm("b", &other).unwrap();
        assert_eq!(stranger.client, first.client);
        assert_ne!(stranger.host_public, first.host_public, "no two VMs share a key");
        for path in [folder.path().join("id_ed25519"), one.join("ssh_host_key")] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn a_vm_is_known_by_its_own_key_until_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys_in(folder.path());
        let known = || fs::read_to_string(folder.path().join("known_hosts")).unwrap();
        keys.forget("a").unwrap();
        let vm = |id: &str| {
            let path = folder.path().join(id);
            fs::create_dir(&path).unwrap();
            path
        };
        let first = keys.of_vm("a", &vm("1")).unwrap();
        let other = keys.of_vm("b", &vm("2")).unwrap();
        assert_eq!(
            known(),
            format!("a.vm {}\nb.vm {}\n", first.host_public, other.host_public)
        );
        // Another VM of that name: the old one's key is known no more.
        let second = keys.of_vm("a", &vm("3")).unwrap();
        assert_eq!(
            known(),
            format!("b.vm {}\na.vm {}\n", other.host_public, second.host_public)
        );
        keys.forget("a").unwrap();
        assert_eq!(known(), format!("b.vm {}\n", other.host_public));
        keys.keep_only(&[]).unwrap();
        assert_eq!(known(), "");
    }

    #[test]
    fn a_key_of_the_users_own_is_used_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys_in(folder.path());
        let key = folder.path().join("id_ed25519");
        let vm = folder.path().join("vm");
        fs::create_dir(&vm).unwrap();
        // Of a kind that only its public half tells of.
        fs::write(&key, "-----BEGIN RSA PRIVATE KEY-----\n").unwrap();
        fs::write(
            key.with_extension("pub"),
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAIQ user@host\n",
        )
        .unwrap();
        assert!(keys.of_vm("a", &vm).is_err(), "a public key that does not decode");
        let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me";
        fs::write(key.with_extension("pub"), format!("{good}\n")).unwrap();
        assert_eq!(keys.of_vm("a", &vm).unwrap().client, good);
        assert_eq!(
            fs::read_to_string(&key).unwrap(),
            "-----BEGIN RSA PRIVATE KEY-----\n"
        );
        // A pipe is not waited for.
        let pipe = key.with_extension("pub");
        fs::remove_file(&pipe).unwrap();
        testkit::make_fifo(&pipe);
        let error = keys.of_vm("a", &vm).unwrap_err();
        let why = std::error::Error::source(&error).map(ToString::to_string);
        assert!(
            why.is_some_and(|why| why.contains("not a regular file")),
            "{error}"
        );
        // What is no key is an error that names it, never replaced.
        fs::remove_file(key.with_extension("pub")).unwrap();
        let error = keys.of_vm("a", &vm).unwrap_err().to_string();
        assert!(error.contains("id_ed25519"), "{error}");
        assert_eq!(
            fs::read_to_string(&key).unwrap(),
            "-----BEGIN RSA PRIVATE KEY-----\n"
        );
    }
}
