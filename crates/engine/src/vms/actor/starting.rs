//! Starts: of a new VM, of one that is off, and of one that boots again.

use std::sync::Arc;
use std::time::Instant;

use model::VmState;
use store::{Change, Pending, VmRow, VmUpdate};

use super::{Actor, Due, Running};
use crate::artefacts::import::Import;
use crate::error::one_line;
use crate::operations::OperationHandle;
use crate::vms::publish::Claimed;
use crate::vms::start::Started;
use crate::vms::state::Off;
use crate::vms::{create, recorded, start, state};
use crate::{EngineError, console};

impl Actor {
    pub(super) async fn create(
        &mut self,
        operation: &OperationHandle,
        claimed: Option<Claimed>,
        import: Option<Box<Import>>,
    ) -> Result<(), EngineError> {
        let import = import.map(|import| *import);
        let shared = Arc::clone(&self.shared);
        let making = async {
            create::make(&self.shared, &self.id, import, operation).await?;
            match claimed {
                Some(claimed) => self.first_start(operation, claimed).await,
                None => self.made().await,
            }
        };
        let made = shared.reserve.guard(operation, making).await;
        if matches!(made, Err(EngineError::StoppedBefore { .. })) && !self.row().await?.ephemeral {
            return made;
        }
        if let Err(error) = made {
            // The logs go with the VM.
            let error = error.of_deleted(console::last_lines(&self.shared.paths.vm(&self.id)));
            if let Err(undo) = self.remove().await {
                tracing::warn!(vm = %self.id, error = %one_line(&undo), "a failed create left something behind");
                self.unsettled.set(Due::Gone);
            }
            return Err(error);
        }
        Ok(())
    }

    /// The start that belongs to a create. One that is stopped before leaves a VM that was never started.
    async fn first_start(
        &mut self,
        operation: &OperationHandle,
        claimed: Claimed,
    ) -> Result<(), EngineError> {
        let started = match self.starting.is_cancelled() {
            true => Err(EngineError::Cancelled),
            false => self.start(operation, Some(claimed), Change::Clear).await,
        };
        match started {
            Err(EngineError::Cancelled) if !operation.cancellation().is_cancelled() => {
                self.made().await?;
                let name = self.name.clone();
                Err(EngineError::StoppedBefore { name })
            }
            started => started,
        }
    }

    /// Records that the VM is made: no later daemon takes it for half of one.
    async fn made(&self) -> Result<(), EngineError> {
        self.mark(Change::Clear).await
    }

    /// Starts the VM; `claimed` are its ports where they are had already, `reboot` what becomes of the record of reboots.
    pub(super) async fn start(
        &mut self,
        operation: &OperationHandle,
        claimed: Option<Claimed>,
        reboot: Change<String>,
    ) -> Result<(), EngineError> {
        let row = self.row().await?;
        match row.state {
            VmState::Running => return Ok(()),
            VmState::Created | VmState::Stopped | VmState::Error => {}
            VmState::Starting | VmState::Stopping => {
                return Err(EngineError::WrongState {
                    name: row.name,
                    state: row.state,
                    verb: "start",
                });
            }
        }
        // What an undo may have left would write to the same disk.
        recorded::tear_down(&self.shared, &self.id).await?;
        if row.pending == Some(Pending::Delete) {
            self.mark(Change::Clear).await?;
        }
        let claimed = match claimed {
            Some(claimed) => claimed,
            None => self.shared.claim_for_start(&row).await?,
        };
        let before = (row.state, row.reason.clone());
        let row = state::begin_start(&self.shared, &self.id, reboot).await?;
        self.reboots.forget();
        self.boot(operation, row, claimed, before).await
    }

    /// Boots a VM that is `starting`; `before` is what it is again, where that is cancelled.
    pub(super) async fn boot(
        &mut self,
        operation: &OperationHandle,
        row: VmRow,
        claimed: Claimed,
        (before, reason): (VmState, Option<String>),
    ) -> Result<(), EngineError> {
        let (name, planted) = (row.name.clone(), row.work_seed.is_some());
        let stage = operation.stage("start", "booting");
        let started = match self.shared.start_inputs(row, operation).await {
            Ok(inputs) => start::start(inputs, operation, &self.starting, &*self.shared.faults).await,
            Err(error) => Err(error),
        };
        let running = match started {
            Ok(started) => self.record_running(started, &name, planted, claimed).await,
            Err(error) => Err(error),
        };
        match running {
            Ok(()) => {
                self.reboots.ready(Instant::now());
                stage.done("ready");
                Ok(())
            }
            Err(EngineError::Cancelled) => {
                self.tear_down_and_record(Off::as_before(before, reason)).await?;
                Err(EngineError::Cancelled)
            }
            Err(error) => {
                self.tear_down_and_record(Off::failed(one_line(&error))).await?;
                Err(EngineError::Start {
                    name,
                    deleted: None,
                    source: Box::new(error),
                })
            }
        }
    }

    /// Records that the VM runs. Its link is there before: a client that has read `running` may run a command at once.
    async fn record_running(
        &mut self,
        started: Started,
        name: &str,
        planted: bool,
        claimed: Claimed,
    ) -> Result<(), EngineError> {
        // Before any command can run: what its user does in /root from here on is never written over.
        if planted {
            let update = VmUpdate {
                work_seed: Change::Clear,
                ..VmUpdate::default()
            };
            self.shared.store.vms().update(&self.id, update).await?;
        }
        let slots = self.shared.slots.for_vm(&self.id, name);
        let published = claimed.serve(name, &slots, &started.link.state());
        let folder = self.folder();
        let running = Running::of(started.machine, started.link, published, &folder);
        self.set_running(Some(running));
        tokio::select! {
            biased;
            () = self.starting.cancelled() => return Err(EngineError::Cancelled),
            hit = self.shared.hit("start.record") => hit?,
        }
        state::running(&self.shared, &self.id, &started.boot_id).await?;
        Ok(())
    }

    /// Starts the VM where the host's disk has room for what it writes.
    pub(super) async fn start_within(
        &mut self,
        operation: &OperationHandle,
        reboot: Change<String>,
    ) -> Result<(), EngineError> {
        if self.running.is_some() {
            return self.start(operation, None, reboot).await;
        }
        let shared = Arc::clone(&self.shared);
        let start = self.start(operation, None, reboot);
        shared.reserve.guard(operation, start).await
    }

    pub(super) async fn restart(&mut self, operation: &OperationHandle) -> Result<(), EngineError> {
        // Before anything is stopped that could not be started again.
        self.shared.reserve.check(0)?;
        if self.running.is_some() {
            self.stop(operation, None).await?;
        }
        self.start_within(operation, Change::Clear).await
    }
}
