//! Stopping a machine without losing a write that the guest has acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::KillSignal;
use guest::PowerAction;
use process::Signal;
use vmm::Machine;

use super::Timeouts;
use super::ending::{self, Over, Still};
use super::hurry::Hurry;
use crate::EngineError;
use crate::error::one_line;
use crate::operations::OperationHandle;

/// How long an agent that is not linked right now may take to be so again before a stop goes on without it.
const LINK: Duration = Duration::from_secs(5);

/// How long a VMM that was sent a signal may take to write what it holds.
const MOVED: Duration = Duration::from_secs(20);

/// Which of the ways a machine ended by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The guest's own shutdown.
    InOrder,
    /// The agent synced and cut the power.
    Synced,
    /// Meanwhile, without a shutdown, for this reason.
    Failed(String),
    /// The VMM was killed.
    Killed,
    /// The VMM was killed after the guest had said that it was done.
    Done,
    /// The VMM was killed since somebody who could not wait asked for it.
    Hurried,
}

impl Ended {
    pub(crate) fn detail(&self) -> &'static str {
        match self {
            Self::InOrder | Self::Done => "shut down",
            Self::Synced => "synced and powered off",
            Self::Failed(_) => "ended without a shutdown",
            Self::Killed | Self::Hurried => "killed",
        }
    }

    /// Why the VM is off, where that is not that it was asked to be.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Failed(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    pub(crate) fn warning(&self) -> Option<String> {
        let warning = match self {
            // All of it is written.
            Self::InOrder | Self::Done => return None,
            Self::Failed(reason) => {
                return Some(format!(
                    "it ended before it had shut down ({reason}); what it had not synced is lost"
                ));
            }
            Self::Synced => {
                "the guest did not shut down in time; its disks were synced and the power was cut"
            }
            Self::Hurried => "it was killed before the guest had shut down; what it had not synced is lost",
            Self::Killed => "the guest did not answer and was killed; what it had not synced is lost",
        };
        Some(warning.to_owned())
    }
}

/// The guest's own shutdown with a deadline, then sync and power off, then kill; that at once when `hurry` comes. `timed`
/// is told how long each took.
pub(crate) async fn shut_down(
    machine: Still<'_>,
    timeouts: &Timeouts,
    hurry: &Hurry,
    timed: &(dyn Fn(&str, Duration) + Sync),
) -> Result<Ended, EngineError> {
    let mut hurried = std::pin::pin!(hurry.asked());
    let mut ended = Ended::Killed;
    for (action, within, point, in_time) in [
        (
            PowerAction::Shutdown,
            timeouts.shutdown,
            "stop.guest",
            Ended::InOrder,
        ),
        (
            PowerAction::PowerOff,
            timeouts.power_off,
            "stop.sync",
            Ended::Synced,
        ),
    ] {
        let since = Instant::now();
        let over = tokio::select! {
            over = ask(machine, action, within) => over?,
            () = &mut hurried => {
                ended = Ended::Hurried;
                break;
            }
        };
        timed(point, since.elapsed());
        match over {
            Some(Over::InOrder) => return Ok(in_time),
            Some(Over::Failed(reason)) => return Ok(Ended::Failed(reason)),
            None => {}
        }
    }
    if machine.link.word().is_some() {
        ended = Ended::Done;
    }
    let since = Instant::now();
    machine.machine.kill().await?;
    timed("stop.kill", since.elapsed());
    Ok(ended)
}

/// Ends the machine by a signal to its VMM and waits until it is gone; kills it where `hurry` comes first.
pub(crate) async fn end(
    machine: &Arc<dyn Machine>,
    name: String,
    signal: KillSignal,
    operation: &OperationHandle,
    hurry: &Hurry,
) -> Result<(), EngineError> {
    let mut hurried = std::pin::pin!(hurry.asked());
    let asked = match signal {
        KillSignal::Kill => return Ok(machine.kill().await?),
        KillSignal::Term => Signal::TERM,
        KillSignal::Int => Signal::INT,
    };
    machine.signal(asked)?;
    tokio::select! {
        biased;
        _ = machine.wait() => Ok(()),
        () = &mut hurried => Ok(machine.kill().await?),
        () = operation.cancellation().cancelled() => Err(EngineError::Cancelled),
        () = tokio::time::sleep(MOVED) => Err(EngineError::Unmoved { name, signal, waited: MOVED }),
    }
}

/// Asks the guest and waits; how the machine ended, if it has.
async fn ask(machine: Still<'_>, action: PowerAction, within: Duration) -> Result<Option<Over>, EngineError> {
    let asked = async {
        let agent = match tokio::time::timeout(LINK.min(within), machine.link.agent()).await {
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
        over = ending::over(machine) => over.map(Some),
        () = asked => Ok(None),
        () = tokio::time::sleep(within) => Ok(None),
    }
}
