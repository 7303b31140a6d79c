//! Those who do not wait for a shutdown: it is cut short for them, also where they came before it began.

use tokio::sync::{Notify, watch};

/// One VM's.
#[derive(Debug, Default)]
pub(crate) struct Hurry {
    /// How many commands are queued that do not wait.
    queued: watch::Sender<usize>,
    now: Notify,
}

impl Hurry {
    /// A command that does not wait is about to be queued.
    pub(crate) fn queue(&self) {
        self.queued.send_modify(|count| *count += 1);
    }

    /// It is not queued any more.
    pub(crate) fn taken(&self) {
        self.queued.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Cuts short what is under way in this moment.
    pub(crate) fn now(&self) {
        self.now.notify_waiters();
    }

    /// Ends when there is somebody who does not wait.
    pub(crate) async fn asked(&self) {
        let mut queued = self.queued.subscribe();
        tokio::select! {
            _ = queued.wait_for(|count| *count > 0) => {}
            () = self.now.notified() => {}
        }
    }
}
