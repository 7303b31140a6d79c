//! The daemon ends when nobody needs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine::Engine;

/// How often is looked, at most.
const LOOK: Duration = Duration::from_secs(5);

/// Counts connections that are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<AtomicUsize>);

/// One open connection.
#[derive(Debug)]
pub(crate) struct Open(Arc<AtomicUsize>);

impl Connections {
    pub(crate) fn open(&self) -> Open {
        self.0.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.0))
    }

    pub(crate) fn none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns when for `timeout` no VM ran, nothing was under way and nobody was connected.
pub(crate) async fn until_idle(engine: &Engine, connections: &Connections, timeout: Duration) {
    let mut tick = tokio::time::interval(LOOK.min(timeout / 4).max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut since = Instant::now();
    loop {
        tick.tick().await;
        if !(engine.is_idle() && connections.none()) {
            since = Instant::now();
        } else if since.elapsed() >= timeout {
            return;
        }
    }
}

impl Connections {
    /// Waits until all connections are closed, but no longer than `most`.
    pub(crate) async fn wait_for_none(&self, most: Duration) {
        let all = async {
            while !self.none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(most, all).await;
    }
}
