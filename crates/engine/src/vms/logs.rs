//! A VM's logs: as they are, or as they come.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use vmm::{Follower, LogKind};

use super::Vms;
use super::actor::Live;
use crate::EngineError;

/// Rest between two looks at a log that has nothing new.
const REST: Duration = Duration::from_millis(100);

impl Vms {
    /// A log of a VM: the newest part, bounded.
    ///
    /// # Errors
    /// No or several VMs answer to the reference, or the log cannot be read.
    pub async fn logs(&self, reference: &str, kind: LogKind) -> Result<Vec<u8>, EngineError> {
        let row = self.resolve(reference).await?;
        let folder = self.shared.paths.vm(&row.id);
        let log = match kind {
            LogKind::Console => vmm::console_log(&folder),
            LogKind::Vmm => vmm::vmm_log(&folder),
        };
        match log {
            Ok(log) => Ok(log),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(EngineError::file("read the log in", folder)(error)),
        }
    }

    /// A log of a VM from the beginning of what is kept, and what is added to it until the VM stops.
    ///
    /// # Errors
    /// No or several VMs answer to the reference.
    pub async fn follow_logs(&self, reference: &str, kind: LogKind) -> Result<Follow, EngineError> {
        let (row, task) = self.task(reference).await?;
        Ok(Follow {
            follower: Follower::new(self.shared.paths.vm(&row.id), kind),
            live: task.live,
        })
    }
}

/// A log as it comes.
#[derive(Debug)]
pub struct Follow {
    follower: Follower,
    live: watch::Receiver<Live>,
}

impl Follow {
    /// The next piece; `None` once the VM is off and all of it is read.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // Looked at first: what was printed before the end is still read.
            let over = self.is_over();
            let piece = self.follower.read()?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if over {
                return Ok(None);
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// Whether nothing runs and nothing is about to. A restart is one operation, and is followed through.
    fn is_over(&self) -> bool {
        let live = self.live.borrow();
        let gone = self.live.has_changed().is_err();
        gone || (live.pid.is_none() && live.current.is_none())
    }
}
