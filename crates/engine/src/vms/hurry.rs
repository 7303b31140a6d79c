//! Those who do not wait for a shutdown: it is cut short for them, also where they came before it began.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// One VM's.
#[derive(Debug, Default)]
pub(crate) struct Hurry {
    /// How many commands are queued that do not wait.
    queued: watch::Sender<usize>,
    now: Notify,
}

impl Hurry {
    /// A command that does not wait is queued, for as long as what this returns exists.
    pub(crate) fn queue(self: &Arc<Self>) -> Hurried {
        self.queued.send_modify(|count| *count += 1);
        Hurried(Arc::clone(self))
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

/// A queued command that does not wait.
#[derive(Debug)]
pub(crate) struct Hurried(Arc<Hurry>);

impl Drop for Hurried {
    fn drop(&mut self) {
        self.0.queued.send_modify(|count| *count -= 1);
    }
}
