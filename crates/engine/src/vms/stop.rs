//! Stopping a machine without losing a write that the guest has acknowledged.

use std::sync::Arc;
use std::time::Duration;

use guest::PowerAction;
use vmm::Machine;

use super::Timeouts;
use super::link::Link;
use crate::EngineError;
use crate::error::one_line;

/// How long an agent that is not linked right now may take to be so again before a stop goes on without it.
const LINK: Duration = Duration::from_secs(5);

/// Which of the ways a machine ended by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The guest's own shutdown.
    InOrder,
    /// The agent synced and cut the power.
    Synced,
    /// The VMM was killed.
    Killed,
}

impl Ended {
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::InOrder => "shut down",
            Self::Synced => "synced and powered off",
            Self::Killed => "killed",
        }
    }

    pub(crate) fn warning(self) -> Option<&'static str> {
        match self {
            Self::InOrder => None,
            Self::Synced => {
                Some("the guest did not shut down in time; its disks were synced and the power was cut")
            }
            Self::Killed => Some("the guest did not answer and was killed; what it had not synced is lost"),
        }
    }
}

/// The guest's own shutdown with a deadline, then sync and power off, then kill.
pub(crate) async fn shut_down(
    machine: &Arc<dyn Machine>,
    link: &Link,
    timeouts: &Timeouts,
) -> Result<Ended, EngineError> {
    for (action, within, ended) in [
        (PowerAction::Shutdown, timeouts.shutdown, Ended::InOrder),
        (PowerAction::PowerOff, timeouts.power_off, Ended::Synced),
    ] {
        if ask(machine, link, action, within).await {
            return Ok(ended);
        }
    }
    machine.kill().await?;
    Ok(Ended::Killed)
}

/// Asks the guest and waits; true when the machine has ended.
async fn ask(machine: &Arc<dyn Machine>, link: &Link, action: PowerAction, within: Duration) -> bool {
    let asked = async {
        let agent = match tokio::time::timeout(LINK.min(within), link.agent()).await {
            Ok(Ok((agent, _))) => agent,
            _ => return,
        };
        if let Err(error) = agent.power(action).await {
            // The answer may be lost with the guest that sent it.
            tracing::debug!(?action, error = %one_line(&error), "power");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = machine.wait() => true,
        () = asked => false,
        () = tokio::time::sleep(within) => false,
    }
}
