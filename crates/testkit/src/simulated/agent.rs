//! The agent of a simulated machine: the real one's server over a host that only pretends to be configured.

use std::path::Path;
use std::sync::Arc;

use banger_vsock_agent::{Hosted, serve_connection};
use guest::PowerAction;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::MachineFaults;

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
