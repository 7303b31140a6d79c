//! The agent of a simulated machine: the real one's server over a host that only pretends to be configured.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use banger_vsock_agent::{Hosted, System as _, serve_connection};
use guest::{PowerAction, Shutdown};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::MachineFaults;

/// Rest between two looks at what the host has done.
const LOOK: Duration = Duration::from_millis(5);

/// One boot of a simulated guest. Clones are the same boot.
#[derive(Clone, Debug)]
pub struct SimulatedAgent {
    system: Arc<Hosted>,
}

impl SimulatedAgent {
    /// A guest that has just booted; `power_off` gets a message when it is asked to go down and `folder` holds no
    /// fault that keeps it from that.
    pub fn new(folder: &Path, power_off: mpsc::Sender<()>) -> Self {
        let system = Arc::new(Hosted::new(uuid::Uuid::new_v4().to_string()));
        tokio::spawn(watch_power(system.powered(), folder.to_owned(), power_off));
        Self { system }
    }

    /// Returns once the host has given it its identity.
    pub async fn configured(&self) {
        while self.system.configuration().is_none() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Has it miss so much time since it booted.
    pub fn has_stood_still(&self, time: Duration) {
        self.system.has_stood_still(time);
    }

    /// Says how the machine is about to end.
    pub async fn say(&self, how: Shutdown) {
        self.system.farewell().say(how).await;
    }

    /// Serves one connection.
    pub async fn serve(self, stream: DuplexStream) {
        serve_connection(stream, self.system).await;
    }
}

async fn watch_power(
    mut powered: tokio::sync::watch::Receiver<Option<PowerAction>>,
    folder: std::path::PathBuf,
    power_off: mpsc::Sender<()>,
) {
    while powered.changed().await.is_ok() {
        let ignores = MachineFaults::read(&folder).is_ok_and(|faults| faults.ignores_power);
        let asked = powered.borrow_and_update().is_some();
        if asked && !ignores && power_off.send(()).await.is_err() {
            return;
        }
    }
}
