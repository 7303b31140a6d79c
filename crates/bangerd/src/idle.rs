//! The daemon ends when nobody needs it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::Engine;

/// How often is looked, at most.
const LOOK: Duration = Duration::from_secs(5);

/// Counts connections that are open, by their clients' processes as far as those are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<BTreeMap<Option<i32>, usize>>>);

/// One open connection.
#[derive(Debug)]
pub(crate) struct Open {
    all: Connections,
    pid: Option<i32>,
}

impl Connections {
    pub(crate) fn open(&self, pid: Option<i32>) -> Open {
        *self.counts().entry(pid).or_default() += 1;
        Open {
            all: self.clone(),
            pid,
        }
    }

    pub(crate) fn none(&self) -> bool {
        self.counts().is_empty()
    }

    /// Whether there are but those of a client that asks for the first time: the one that it asks on, and one that it
    /// holds. Of one whose process is not known, the first alone.
    pub(crate) fn none_but(&self, pid: Option<i32>) -> bool {
        let most = if pid.is_some() { 2 } else { 1 };
        self.counts()
            .iter()
            .all(|(of, count)| *of == pid && *count <= most)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Option<i32>, usize>> {
        // Nothing that holds the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut counts = self.all.counts();
        if let Some(count) = counts.get_mut(&self.pid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.pid);
            }
        }
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
        wait_until(most, || self.none()).await;
    }

    /// Waits until [`Self::none_but`] holds, but no longer than `most`.
    pub(crate) async fn wait_for_none_but(&self, pid: Option<i32>, most: Duration) {
        wait_until(most, || self.none_but(pid)).await;
    }
}

async fn wait_until(most: Duration, is_so: impl Fn() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(most, so).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_own_connections_are_told_from_those_of_others() {
        let connections = Connections::default();
        let held = connections.open(Some(7));
        let asks = connections.open(Some(7));
        assert!(connections.none_but(Some(7)) && !connections.none());
        assert!(!connections.none_but(Some(8)) && !connections.none_but(None));
        let works = connections.open(Some(7));
        assert!(!connections.none_but(Some(7)), "the client has more to do here");
        drop(works);
        let other = connections.open(None);
        assert!(!connections.none_but(Some(7)));
        drop((held, asks));
        assert!(connections.none_but(None), "the one that asks");
        let another = connections.open(None);
        assert!(!connections.none_but(None), "whose is not known");
        drop((other, another));
        assert!(connections.none());
    }
}
