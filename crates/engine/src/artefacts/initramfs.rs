//! The initramfs of each (kernel, agent), made once.

use std::path::PathBuf;

use model::BootWay;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell};

use super::Kernel;
use super::kernels::NO_INITRD;
use crate::EngineError;

/// As many digits of the agent's sha256 stand in a name.
const AGENT_DIGITS: usize = 12;

#[derive(Debug)]
pub(crate) struct Initramfs {
    agent: PathBuf,
    folder: PathBuf,
    agent_digest: OnceCell<String>,
    making: Mutex<()>,
}

impl Initramfs {
    pub(crate) fn new(agent: PathBuf, folder: PathBuf) -> Self {
        Self {
            agent,
            folder,
            agent_digest: OnceCell::new(),
            making: Mutex::new(()),
        }
    }

    pub(crate) async fn ensure(&self, kernel: &Kernel, boot: BootWay) -> Result<PathBuf, EngineError> {
        let agent = self.agent_digest().await?;
        let (before, ending) = match boot {
            BootWay::Overlay => (None, "cpio"),
            BootWay::Direct => {
                let initrd = kernel.initrd().ok_or_else(|| EngineError::Invalid {
                    what: "kernel",
                    value: kernel.name.clone(),
                    why: NO_INITRD.to_owned(),
                })?;
                (Some(initrd), "direct.cpio")
            }
        };
        let name = format!("{}-{}-{agent}.{ending}", kernel.name, kernel.version);
        let path = self.folder.join(&name);
        let _one = self.making.lock().await;
        if path.is_file() {
            return Ok(path);
        }
        // Those of other agents were made for machines that run, if any, and have been read.
        self.remove_all(|other| ending_of(other, kernel) == Some(ending))?;
        let (agent, modules, out) = (self.agent.clone(), kernel.boot_modules(), path.clone());
        let make = move || match before {
            None => rootfs::initramfs::write(&out, &agent, &modules),
            Some(initrd) => rootfs::initramfs::write_before(&initrd, &out, &agent, &modules),
        };
        tokio::task::spawn_blocking(make)
            .await
            .map_err(|panic| EngineError::Internal(format!("making the initramfs: {panic}")))?
            .map_err(|error| EngineError::Artefact {
                action: "make",
                kind: "initramfs",
                name: kernel.name.clone(),
                source: Box::new(error),
                hint: None,
            })?;
        Ok(path)
    }

    /// Removes those of a kernel that was replaced.
    pub(crate) fn forget(&self, kernel: &Kernel) -> Result<(), EngineError> {
        self.remove_all(|name| ending_of(name, kernel).is_some())
    }

    fn remove_all(&self, is_meant: impl Fn(&str) -> bool) -> Result<(), EngineError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(EngineError::file("read", &self.folder)(error)),
        };
        for entry in entries.flatten() {
            if is_meant(&entry.file_name().to_string_lossy()) {
                std::fs::remove_file(entry.path()).map_err(EngineError::file("remove", entry.path()))?;
            }
        }
        Ok(())
    }

    /// First 12 digits of the agent's sha256; the binary is read once in the daemon's life.
    async fn agent_digest(&self) -> Result<&str, EngineError> {
        self.agent_digest
            .get_or_try_init(|| async {
                let bytes = tokio::fs::read(&self.agent)
                    .await
                    .map_err(EngineError::file("read", &self.agent))?;
                let digest = Sha256::digest(&bytes);
                Ok(digest
                    .iter()
                    .take(AGENT_DIGITS / 2)
                    .map(|byte| format!("{byte:02x}"))
                    .collect())
            })
            .await
            .map(String::as_str)
    }
}

/// How the name of a kernel's initramfs ends, behind the digest of the agent; none for the names of others.
fn ending_of<'a>(name: &'a str, kernel: &Kernel) -> Option<&'a str> {
    let rest = name.strip_prefix(&format!("{}-{}-", kernel.name, kernel.version))?;
    let (agent, ending) = rest.split_once('.')?;
    let is_digest = agent.len() == AGENT_DIGITS && agent.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then_some(ending)
}
