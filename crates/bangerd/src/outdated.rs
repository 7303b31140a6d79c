//! A daemon that could not read the configuration makes way for the next once that is mended: for a client that starts
//! the next one and says so, and only where no command and no operation needs this one. Any other client, as one that was
//! given this daemon's socket, could start none and would be left without; it is served.
//!
//! The client's connection is closed without an answer then, as that of one which meets a daemon that ends.

use std::sync::Arc;
use std::time::Duration;

use engine::{Configured, Engine};
use tokio::sync::{mpsc, oneshot};

use crate::idle::Connections;

/// How long a client that was served may take to be gone from the count of connections.
const LEAVING: Duration = Duration::from_millis(100);

/// A connection's question, whether the daemon ends for its client.
pub(crate) struct Question {
    /// The client's process, if it is known: its other connections are no reason to stay.
    pub(crate) pid: Option<i32>,
    pub(crate) answer: oneshot::Sender<bool>,
}

/// Where connections ask. The loop that accepts connections answers, so that none comes in between.
#[derive(Clone, Debug)]
pub(crate) struct Asking(mpsc::Sender<Question>);

impl Asking {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Question>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Whether the daemon ends for the client of that process.
    pub(crate) async fn ends_for(&self, pid: Option<i32>) -> bool {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Question { pid, answer }).await.is_err() {
            return false;
        }
        answered.await.unwrap_or(false)
    }
}

/// Whether a daemon that starts now would go by the user's configuration, and no client but that of the process needs
/// this one.
pub(crate) async fn is_outdated(
    unread: Option<&Arc<dyn Configured>>,
    connections: &Connections,
    engine: &Engine,
    pid: Option<i32>,
) -> bool {
    let Some(configured) = unread.cloned() else {
        return false;
    };
    // It reads files.
    let mended = tokio::task::spawn_blocking(move || configured.is_mended()).await;
    if !mended.unwrap_or(false) {
        return false;
    }
    connections.wait_for_none_but(pid, LEAVING).await;
    connections.none_but(pid) && engine.has_no_work()
}
