//! What became of a VM and could not be recorded or carried through: it is settled as soon as that works again.

use std::time::Duration;

use model::VmState;
use store::{Change, Pending, StoreError, VmUpdate};

use super::Actor;
use crate::EngineError;
use crate::error::one_line;
use crate::vms::state::Off;
use crate::vms::{create, reconcile, recorded, state};

/// Rest before the second try; twice as long before each further one, up to the longest.
const AGAIN: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

/// What is due.
#[derive(Debug)]
pub(crate) enum Due {
    /// It is not known what there is: to be looked at.
    Look,
    /// Nothing of it is to run, which is to be recorded.
    Off(Off),
    /// It is gone, or to go.
    Gone,
}

/// What is to be settled, and how often that was tried.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    due: Option<Due>,
    /// The row says that the VM is being deleted, which is not so any more.
    marked: bool,
    tries: u32,
}

impl Unsettled {
    pub(super) fn new(due: Option<Due>) -> Self {
        Self {
            due,
            ..Self::default()
        }
    }

    /// Something is due, in the place of what was.
    pub(super) fn set(&mut self, due: Due) {
        self.due = Some(due);
    }

    /// It has to be looked at what there is, unless more is known.
    pub(super) fn look(&mut self) {
        self.due.get_or_insert(Due::Look);
    }

    /// Whether the VM is to go.
    pub(super) fn is_going(&self) -> bool {
        matches!(self.due, Some(Due::Gone))
    }

    /// Whether there is anything.
    pub(super) fn is_any(&self) -> bool {
        self.due.is_some() || self.marked
    }
}

/// Ends when it is time for another try; never where nothing is to be settled.
pub(super) async fn again(unsettled: &Unsettled) {
    if !unsettled.is_any() {
        return std::future::pending().await;
    }
    let rest = AGAIN.saturating_mul(1 << unsettled.tries.min(8));
    tokio::time::sleep(rest.min(LONGEST)).await;
}

impl Actor {
    /// Brings VM and record together: what is due is done, if anything is.
    pub(super) async fn settle(&mut self) -> Result<(), EngineError> {
        if !self.unsettled.is_any() {
            return Ok(());
        }
        self.unsettled.tries = self.unsettled.tries.saturating_add(1);
        if let Some(due) = self.unsettled.due.take() {
            let settled = match &due {
                Due::Look => self.look().await,
                Due::Off(off) => self.take_down(off.clone()).await,
                Due::Gone => self.remove().await,
            };
            if let Err(error) = settled {
                self.unsettled.due.get_or_insert(due);
                return Err(error);
            }
        }
        if self.unsettled.marked && !self.gone && !self.unsettled.is_going() {
            self.mark(Change::Clear).await?;
            self.unsettled.marked = false;
        }
        self.unsettled.tries = 0;
        Ok(())
    }

    /// Removes all there is of the VM: what runs, its row, its folder.
    pub(super) async fn remove(&mut self) -> Result<(), EngineError> {
        self.let_go().await;
        let aside = create::set_aside(&self.shared, &self.id).await?;
        match create::erase(&self.shared, &self.id, aside).await {
            Ok(()) => self.gone = true,
            Err(error) => {
                self.unsettled.set(Due::Gone);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes down what there is of a machine and records that nothing of the VM runs; as soon as both are possible.
    pub(super) async fn tear_down_and_record(&mut self, off: Off) -> Result<(), EngineError> {
        let done = self.take_down(off).await;
        if let Err(error) = &done {
            tracing::warn!(vm = %self.id, error = %one_line(error), "cannot bring it to its end; trying on");
        }
        done
    }

    /// While something of it may run, the row says so, and which process.
    async fn take_down(&mut self, off: Off) -> Result<(), EngineError> {
        self.let_go().await;
        let taken_down = async {
            recorded::tear_down(&self.shared, &self.id).await?;
            match state::off(&self.shared, &self.id, off.clone()).await {
                // It is recorded already.
                Ok(_)
                | Err(EngineError::Store(StoreError::NotInState { .. } | StoreError::NotFound { .. })) => {
                    Ok(())
                }
                Err(error) => Err(error),
            }
        };
        let taken_down = taken_down.await;
        if taken_down.is_err() {
            self.unsettled.set(Due::Off(off));
        }
        taken_down
    }

    /// Notes what a later daemon would have to undo or to finish, or that there is nothing.
    pub(super) async fn mark(&self, pending: Change<Pending>) -> Result<(), EngineError> {
        let update = VmUpdate {
            pending,
            ..VmUpdate::default()
        };
        self.shared.store.vms().update(&self.id, update).await?;
        Ok(())
    }

    /// Begins a delete: a later daemon finishes it. Where that cannot be recorded it goes on all the same: on a full disk
    /// it makes room.
    pub(super) async fn mark_deleted(&mut self) {
        self.unsettled.marked = true;
        if let Err(error) = self.mark(Change::Set(Pending::Delete)).await {
            tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot record that it is being deleted");
        }
    }

    async fn look(&mut self) -> Result<(), EngineError> {
        let row = self.row().await?;
        if self.running.is_some() {
            match row.state {
                VmState::Running => return Ok(()),
                VmState::Stopping => {
                    self.finish_stop().await;
                    return Ok(());
                }
                // Its start was cut short.
                _ => self.let_go().await,
            }
        }
        let found = reconcile::look(&self.shared, &row, false).await?;
        if let Some(machine) = found.machine {
            self.take_up(machine, &row);
        }
        match found.off {
            Some(off) => self.take_down(off).await,
            None => Ok(()),
        }
    }
}
