//! The smaller verbs: restart, kill, prune, ping.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{KillSignal, Pong};
use guest::Agent;
use store::VmRow;

use super::command::Command;
use super::{Vms, cancel_start};
use crate::EngineError;
use crate::operations::OperationHandle;

/// How long a ping waits for an agent that is not linked, and for its answer.
const PING: Duration = Duration::from_secs(5);

impl Vms {
    /// Shuts a VM down and starts it anew; just starts one that does not run.
    ///
    /// # Errors
    /// No or several VMs answer to the reference.
    pub async fn restart(&self, reference: &str) -> Result<OperationHandle, EngineError> {
        let (row, task) = self.task(reference).await?;
        self.hand_over("restart", row, &task, |operation| Command::Restart { operation })
            .await
    }

    /// Ends a VM's machine by a signal. A start under way is cancelled, and a shutdown not waited for. Fine if it
    /// does not run.
    ///
    /// # Errors
    /// No or several VMs answer to the reference.
    pub async fn kill(&self, reference: &str, signal: KillSignal) -> Result<OperationHandle, EngineError> {
        let (row, task) = self.task(reference).await?;
        cancel_start(&row, &task, false);
        self.hand_over("kill", row, &task, |operation| Command::Kill {
            operation,
            signal,
        })
        .await
    }

    /// Deletes a VM that neither runs nor is worked on.
    ///
    /// # Errors
    /// It runs or is worked on, or no or several VMs answer to the reference. One that is started in this moment
    /// is spared, too; its operation says so.
    pub async fn delete_idle(&self, reference: &str) -> Result<OperationHandle, EngineError> {
        const VERB: &str = "prune";
        let (row, task) = self.task(reference).await?;
        if task.live.borrow().pid.is_some() {
            let state = row.state;
            return Err(EngineError::WrongState {
                name: row.name,
                state,
                verb: VERB,
            });
        }
        if task.live.borrow().current.is_some() {
            return Err(EngineError::Busy {
                name: row.name,
                verb: VERB,
            });
        }
        self.hand_over("delete", row, &task, |operation| Command::Delete {
            operation,
            idle: true,
        })
        .await
    }

    /// Asks the agent of a running VM whether it is there.
    ///
    /// # Errors
    /// The VM does not run, or its agent does not answer.
    pub async fn ping(&self, reference: &str) -> Result<Pong, EngineError> {
        let (row, agent) = self.agent(reference, "ping", PING).await?;
        let since = Instant::now();
        let health = tokio::time::timeout(PING, agent.health())
            .await
            .map_err(|_| EngineError::AgentSilent {
                waited: PING,
                console: None,
            })?
            .map_err(EngineError::Agent)?;
        Ok(Pong {
            id: row.id,
            name: row.name,
            round_trip_us: u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX),
            agent_version: health.version,
            generation: health.generation,
            boot_id: health.boot_id,
            uptime_ms: health.uptime_ms,
        })
    }

    /// The agent of a running VM, waited for where its link is being made anew.
    pub(crate) async fn agent(
        &self,
        reference: &str,
        verb: &'static str,
        patience: Duration,
    ) -> Result<(VmRow, Agent), EngineError> {
        let (row, task) = self.task(reference).await?;
        if let Some(reason) = task.pause.reason() {
            return Err(EngineError::Paused {
                name: row.name,
                verb,
                reason,
            });
        }
        let link = task.live.borrow().link.clone();
        let Some(mut link) = link else {
            return Err(EngineError::WrongState {
                name: row.name,
                state: row.state,
                verb,
            });
        };
        let agent = tokio::time::timeout(patience, link.wait_for(|state| state.agent.is_some()))
            .await
            .map_err(|_| EngineError::AgentSilent {
                waited: patience,
                console: None,
            })?
            .ok()
            .and_then(|state| Some((state.agent.clone()?, Arc::clone(&state.clock))));
        match agent {
            Some((agent, clock)) => {
                clock.see_to(&row.name, &agent).await;
                Ok((row, agent))
            }
            None => Err(EngineError::WrongState {
                name: row.name,
                state: api::VmState::Stopping,
                verb,
            }),
        }
    }
}
