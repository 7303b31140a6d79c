//! A machine that runs, with what belongs to it, and what happens to it by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use vmm::{End, Machine};

use super::ending::Still;
use super::link::Link;
use super::publish::Published;

/// All of a network ends with its machine, and may do so first: for that long it is no news.
const ENDS_WITH_MACHINE: Duration = Duration::from_secs(1);

/// A running machine and its link.
pub(crate) struct Running {
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) link: Link,
    pub(crate) published: Published,
    /// The network's processes, until the end of one was noticed.
    pub(crate) network: Option<net::Parts>,
    /// Tells the network of the host's resolvers when they change; ends with this.
    _following: JoinSet<()>,
    /// What it has lost since it was started, in words.
    pub(crate) lacks: Option<String>,
    /// The guest's boot that was seen to last.
    pub(crate) seen_boot: Option<String>,
}

impl Running {
    /// With the network that the VM's folder tells of.
    pub(crate) fn of(machine: Arc<dyn Machine>, link: Link, published: Published, folder: &Path) -> Self {
        let mut following = JoinSet::new();
        following.spawn(net::follow_resolvers(folder.to_owned()));
        Self {
            machine,
            link,
            published,
            network: Some(net::parts(folder)),
            _following: following,
            lacks: None,
            seen_boot: None,
        }
    }

    /// The machine while somebody waits for its end.
    pub(crate) fn awaited<'a>(&'a self, folder: &'a Path, grace: Duration) -> Still<'a> {
        Still {
            machine: &self.machine,
            link: &self.link,
            folder,
            grace,
            awaited: true,
        }
    }
}

/// Ends when the machine does; never where there is none.
pub(crate) async fn ended(running: Option<&Running>) -> End {
    match running {
        Some(running) => running.machine.wait().await,
        None => std::future::pending().await,
    }
}

/// Ends when a part of the network has ended and the machine runs on: which one. Never where there is no network.
pub(crate) async fn network_ended(running: Option<&Running>) -> &'static str {
    let Some(network) = running.and_then(|running| running.network.as_ref()) else {
        return std::future::pending().await;
    };
    let part = network.ended().await;
    tokio::time::sleep(ENDS_WITH_MACHINE).await;
    part
}

/// Ends when the guest is in another boot than the last one that was seen to, also where it got there while nobody looked;
/// never where nothing runs.
pub(crate) async fn next_boot(running: Option<&Running>) -> String {
    let Some(running) = running else {
        return std::future::pending().await;
    };
    let mut state = running.link.state();
    loop {
        match &state.borrow_and_update().boot_id {
            Some(boot_id) if running.seen_boot.as_ref() != Some(boot_id) => return boot_id.clone(),
            _ => {}
        }
        if state.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
