//! Whether a running VM is held back, and the two ways to hold it: what its VMM does when it is asked, and a signal that
//! it cannot refuse.

use std::sync::Arc;
use std::time::Duration;

use process::Signal;
use tokio::sync::{Mutex, watch};
use vmm::{Machine, VmmError};

/// Why VMs are paused: there is one reason.
pub(crate) const FULL_DISK: &str = "paused: the host's disk is full";
/// How long a VMM may take to pause before its process is stopped instead.
const ANSWER: Duration = Duration::from_secs(2);

/// What holds for a VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    /// It runs, and may be paused.
    #[default]
    No,
    /// It is paused.
    Paused,
    /// It is on its way out, and not paused any more: it would never get there.
    Exempt,
}

/// The pause of one VM, shared by its task and by what watches the disk.
#[derive(Debug)]
pub(crate) struct Pause {
    hold: watch::Sender<Hold>,
    /// Held over a change and what is asked of the machine for it.
    change: Mutex<()>,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            hold: watch::Sender::new(Hold::No),
            change: Mutex::default(),
        }
    }
}

impl Pause {
    /// Why it stands still, if it does.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        (*self.hold.borrow() == Hold::Paused).then_some(FULL_DISK)
    }

    /// Whether it is on its way out and writes what it has left.
    pub(crate) fn is_exempt(&self) -> bool {
        *self.hold.borrow() == Hold::Exempt
    }

    /// Has the machine stand still. True: it does since now.
    pub(crate) async fn pause(&self, machine: &Arc<dyn Machine>) -> Result<bool, VmmError> {
        let _change = self.change.lock().await;
        if *self.hold.borrow() != Hold::No {
            return Ok(false);
        }
        let paused = tokio::time::timeout(ANSWER, machine.pause()).await;
        if !matches!(paused, Ok(Ok(()))) {
            tracing::warn!(
                pid = machine.pid(),
                ?paused,
                "a VMM does not pause its guest; stopping its process"
            );
            machine.signal(Signal::STOP)?;
        }
        self.hold.send_replace(Hold::Paused);
        Ok(true)
    }

    /// Has a machine that was paused go on. True: it does since now.
    pub(crate) async fn resume(&self, machine: &Arc<dyn Machine>) -> Result<bool, VmmError> {
        let _change = self.change.lock().await;
        if *self.hold.borrow() != Hold::Paused {
            return Ok(false);
        }
        go_on(machine).await?;
        self.hold.send_replace(Hold::No);
        Ok(true)
    }

    /// Lets the machine go on, and not be paused again: it is being shut down.
    pub(crate) async fn exempt(&self, machine: &Arc<dyn Machine>) {
        let _change = self.change.lock().await;
        let was = self.hold.send_replace(Hold::Exempt);
        let is_paused = was == Hold::Paused || machine.is_paused().await.unwrap_or(false);
        if is_paused && let Err(error) = go_on(machine).await {
            tracing::warn!(pid = machine.pid(), %error, "a paused machine does not go on");
        }
    }

    /// What would have ended the machine has not: from now on it may be paused as before.
    pub(crate) async fn no_longer_exempt(&self) {
        let _change = self.change.lock().await;
        self.hold.send_if_modified(|hold| {
            let was = *hold == Hold::Exempt;
            if was {
                *hold = Hold::No;
            }
            was
        });
    }

    /// Finds out whether an earlier daemon paused a machine.
    pub(crate) async fn take_up(&self, machine: &Arc<dyn Machine>) {
        let _change = self.change.lock().await;
        if *self.hold.borrow() == Hold::No && machine.is_paused().await.unwrap_or(false) {
            self.hold.send_replace(Hold::Paused);
        }
    }

    /// There is no machine any more, or another one.
    pub(crate) fn reset(&self) {
        self.hold.send_replace(Hold::No);
    }
}

async fn go_on(machine: &Arc<dyn Machine>) -> Result<(), VmmError> {
    // Fine where the process was not stopped.
    machine.signal(Signal::CONT)?;
    machine.resume().await
}
