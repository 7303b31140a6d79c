//! What became of a VM and could not be recorded, since the store failed: it is recorded as soon as that works again.

use std::time::Duration;

use model::VmState;
use store::StoreError;

use super::Actor;
use crate::EngineError;
use crate::error::one_line;
use crate::vms::state::Off;
use crate::vms::{create, reconcile, start, state};

/// Rest between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// What is due.
#[derive(Debug)]
pub(crate) enum Due {
    /// It is not known what there is: to be looked at.
    Look,
    /// Nothing of it runs.
    Off(Off),
    /// It is gone, or to go.
    Gone,
}

/// Ends when it is time for another try; never where nothing is due.
pub(super) async fn again(due: Option<&Due>) {
    match due {
        Some(_) => tokio::time::sleep(AGAIN).await,
        None => std::future::pending().await,
    }
}

impl Actor {
    /// Brings VM and record together: what is due is done, if anything is.
    pub(super) async fn settle(&mut self) -> Result<(), EngineError> {
        let Some(due) = self.due.take() else { return Ok(()) };
        let settled = match &due {
            Due::Look => self.look().await,
            Due::Off(off) => self.tear_down_and_record(off.clone()).await,
            Due::Gone => self.remove().await,
        };
        if settled.is_err() && self.due.is_none() {
            self.due = Some(due);
        }
        settled
    }

    /// Records that nothing of the VM runs any more.
    pub(super) async fn off(&mut self, off: Off) -> Result<(), EngineError> {
        match state::off(&self.shared, &self.id, off.clone()).await {
            Ok(_) => Ok(()),
            // It is recorded already.
            Err(EngineError::Store(StoreError::NotInState { .. } | StoreError::NotFound { .. })) => Ok(()),
            Err(error) => {
                tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot record that it is off; trying on");
                self.due = Some(Due::Off(off));
                Err(error)
            }
        }
    }

    /// Removes all there is of the VM: what runs, its row, its folder.
    pub(super) async fn remove(&mut self) -> Result<(), EngineError> {
        self.let_go().await;
        let aside = create::set_aside(&self.shared, &self.id).await?;
        match create::erase(&self.shared, &self.id, aside).await {
            Ok(()) => self.gone = true,
            Err(error) => {
                self.due = Some(Due::Gone);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes down what belonged to a machine that is gone, and records that.
    pub(super) async fn tear_down_and_record(&mut self, off: Off) -> Result<(), EngineError> {
        self.let_go().await;
        let torn_down = start::tear_down(&*self.shared.machines, &self.folder()).await;
        self.off(off).await?;
        torn_down
    }

    async fn look(&mut self) -> Result<(), EngineError> {
        let row = self.row().await?;
        if self.running.is_some() {
            if matches!(row.state, VmState::Running | VmState::Stopping) {
                return Ok(());
            }
            // Its start was cut short.
            self.let_go().await;
        }
        let found = reconcile::look(&self.shared, &row, false).await?;
        if let Some(machine) = found.machine {
            self.take_up(machine, &row);
        }
        match found.off {
            Some(off) => self.off(off).await,
            None => Ok(()),
        }
    }
}
