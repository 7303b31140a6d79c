//! The one task that owns a VM. Every change to the VM goes through its queue.

use std::sync::Arc;
use std::time::Duration;

use store::{Change, VmRow, VmState, VmUpdate};
use tokio::sync::{Notify, mpsc, watch};
use vmm::Machine;

use super::link::{Link, LinkState};
use super::pause::Pause;
use super::publish::{self, Claimed, Published};
use super::{Shared, Task, create, set, stale, start, state, stop, view};
use crate::artefacts::import::Import;
use crate::error::one_line;
use crate::operations::OperationHandle;
use crate::{EngineError, console};

/// What a VM may be asked to do; each ends the operation it carries.
#[derive(Debug)]
pub(crate) enum Command {
    /// Fetch what is missing, make the disk and, given the ports that it is published on, start. Failing, the VM is
    /// gone again.
    Create {
        operation: OperationHandle,
        claimed: Option<Claimed>,
        /// How the image is had, where neither the store nor the catalog has it.
        import: Option<Box<Import>>,
    },
    /// Start.
    Start { operation: OperationHandle },
    /// Shut down in order, or by force where the guest does not. With `unused`, only if nobody uses it, which has been
    /// so for that long.
    Stop {
        operation: OperationHandle,
        unused: Option<Duration>,
    },
    /// Shut down and start anew; just start where nothing runs.
    Restart { operation: OperationHandle },
    /// End the machine.
    Kill {
        operation: OperationHandle,
        signal: api::KillSignal,
    },
    /// Change the shape.
    Set {
        operation: OperationHandle,
        change: api::SetVm,
    },
    /// Go away, in whatever state; `idle` spares a VM that runs.
    Delete { operation: OperationHandle, idle: bool },
}

impl Command {
    fn operation(&self) -> &OperationHandle {
        match self {
            Self::Create { operation, .. }
            | Self::Start { operation }
            | Self::Stop { operation, .. }
            | Self::Restart { operation }
            | Self::Kill { operation, .. }
            | Self::Set { operation, .. }
            | Self::Delete { operation, .. } => operation,
        }
    }
}

/// What others may see of a VM's task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// Process id of the VMM.
    pub(crate) pid: Option<u32>,
    /// The machine, for what may be done to it at any time.
    pub(crate) machine: Option<Arc<dyn Machine>>,
    /// The link to the agent.
    pub(crate) link: Option<watch::Receiver<LinkState>>,
    /// What is under way.
    pub(crate) current: Option<OperationHandle>,
}

/// A running machine and its link.
struct Running {
    machine: Arc<dyn Machine>,
    link: Link,
    published: Published,
}

/// The task's own state.
pub(crate) struct Actor {
    shared: Arc<Shared>,
    id: String,
    name: String,
    live: watch::Sender<Live>,
    hurry: Arc<Notify>,
    pause: Arc<Pause>,
    running: Option<Running>,
}

/// Begins the task of a VM; `machine` is what an earlier daemon left running, with the state it was in.
pub(crate) fn spawn(shared: Arc<Shared>, row: &VmRow, machine: Option<Arc<dyn Machine>>) -> Task {
    let (commands, queue) = mpsc::channel(16);
    let (live, seen) = watch::channel(Live::default());
    let hurry = Arc::new(Notify::new());
    let pause = Arc::new(Pause::default());
    let task = Task {
        commands,
        live: seen,
        hurry: Arc::clone(&hurry),
        pause: Arc::clone(&pause),
    };
    let mut actor = Actor {
        shared,
        id: row.id.clone(),
        name: row.name.clone(),
        live,
        hurry,
        pause,
        running: None,
    };
    if let Some(machine) = machine {
        let (pause, found) = (Arc::clone(&actor.pause), Arc::clone(&machine));
        tokio::spawn(async move { pause.take_up(&found).await });
        let link = Link::keep(machine.channel(), actor.shared.identity(row));
        let ports = publish::of_row(&row.publish);
        let slots = actor.shared.slots.for_vm(&row.id, &row.name);
        let published = Published::take_up(ports, &row.name, &slots, &link.state());
        actor.set_running(Some(Running {
            machine,
            link,
            published,
        }));
    }
    let stopping = row.state == VmState::Stopping;
    tokio::spawn(actor.work(queue, stopping));
    task
}

impl Actor {
    async fn work(mut self, mut queue: mpsc::Receiver<Command>, stopping: bool) {
        if stopping {
            self.finish_stop().await;
        }
        loop {
            let command = tokio::select! {
                command = queue.recv() => command,
                reason = ended(self.running.as_ref()) => {
                    self.machine_ended(reason).await;
                    continue;
                }
                boot_id = next_boot(self.running.as_ref()) => {
                    if let Err(error) = state::rebooted(&self.shared, &self.id, &boot_id).await {
                        tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot record a new boot");
                    }
                    continue;
                }
            };
            let Some(command) = command else { return };
            if self.carry_out(command).await {
                break;
            }
        }
        // Whoever was waiting is told, too.
        queue.close();
        while let Some(command) = queue.recv().await {
            self.shared.turn_away(&command, &self.name).await;
        }
    }

    /// Carries a command out and ends its operation. True: the VM is gone.
    async fn carry_out(&mut self, command: Command) -> bool {
        let operation = command.operation().clone();
        self.live
            .send_modify(|live| live.current = Some(operation.clone()));
        let (outcome, gone) = match command {
            Command::Create { claimed, import, .. } => {
                let outcome = self.create(&operation, claimed, import).await;
                let gone = outcome.is_err();
                (outcome, gone)
            }
            Command::Start { .. } => (self.start_within(&operation).await, false),
            Command::Stop { unused, .. } => (self.stop(&operation, unused).await, false),
            Command::Restart { .. } => (self.restart(&operation).await, false),
            Command::Kill { signal, .. } => (self.kill(&operation, signal).await, false),
            Command::Set { change, .. } => (self.set(&operation, change).await, false),
            Command::Delete { idle, .. } => {
                let outcome = self.delete(idle).await;
                let gone = outcome.is_ok();
                (outcome, gone)
            }
        };
        self.live.send_modify(|live| live.current = None);
        if gone {
            self.shared.forget(&self.id);
        }
        let vm = if gone { None } else { self.view().await };
        self.shared
            .operations
            .end(&operation, outcome.as_ref().map(|()| vm))
            .await;
        gone
    }

    async fn create(
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
                Some(claimed) => self.start(operation, Some(claimed)).await,
                None => Ok(()),
            }
        };
        let made = shared.reserve.guard(operation, making).await;
        if let Err(error) = made {
            // The logs go with the VM.
            let error = error.of_deleted(console::last_lines(&self.shared.paths.vm(&self.id)));
            if let Err(undo) = self.remove().await {
                tracing::warn!(vm = %self.id, error = %one_line(&undo), "a failed create left something behind");
            }
            return Err(error);
        }
        Ok(())
    }

    /// Starts the VM; `claimed` are its ports where they are had already.
    async fn start(
        &mut self,
        operation: &OperationHandle,
        claimed: Option<Claimed>,
    ) -> Result<(), EngineError> {
        let row = self.row().await?;
        match row.state {
            VmState::Running => return Ok(()),
            VmState::Created | VmState::Stopped | VmState::Error => {}
            VmState::Starting | VmState::Stopping => {
                return Err(EngineError::WrongState {
                    name: row.name,
                    state: view::state(row.state),
                    verb: "start",
                });
            }
        }
        let claimed = match claimed {
            Some(claimed) => claimed,
            None => self.shared.claim_for_start(&row).await?,
        };
        let (before, reason) = (row.state, row.reason.clone());
        let row = state::begin_start(&self.shared, &self.id).await?;
        let (name, planted) = (row.name.clone(), row.work_seed.is_some());
        let stage = operation.stage("start", "booting");
        let started = match self.shared.start_inputs(row, operation).await {
            Ok(inputs) => start::start(inputs, operation, &*self.shared.faults).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(started) => {
                // Before it runs: what its user does in /root from here on is never written over.
                if planted {
                    let update = VmUpdate {
                        work_seed: Change::Clear,
                        ..VmUpdate::default()
                    };
                    self.shared.store.vms().update(&self.id, update).await?;
                }
                state::running(&self.shared, &self.id, &started.boot_id).await?;
                let slots = self.shared.slots.for_vm(&self.id, &name);
                let published = claimed.serve(&name, &slots, &started.link.state());
                self.set_running(Some(Running {
                    machine: started.machine,
                    link: started.link,
                    published,
                }));
                stage.done("ready");
                Ok(())
            }
            Err(EngineError::Cancelled) => {
                state::start_taken_back(&self.shared, &self.id, before, reason).await?;
                Err(EngineError::Cancelled)
            }
            Err(error) => {
                state::start_failed(&self.shared, &self.id, one_line(&error)).await?;
                Err(EngineError::Start {
                    name,
                    deleted: None,
                    source: Box::new(error),
                })
            }
        }
    }

    async fn stop(
        &mut self,
        operation: &OperationHandle,
        unused: Option<Duration>,
    ) -> Result<(), EngineError> {
        let row = self.row().await?;
        if unused.is_some() && self.running.as_ref().is_none_or(|running| running.link.is_used()) {
            // Somebody has come, or stopped it, since it was found unused.
            return Ok(());
        }
        let reason = unused.map(stale::reason);
        let Some(running) = &self.running else {
            return match row.state {
                VmState::Stopped => Ok(()),
                state => Err(EngineError::WrongState {
                    name: row.name,
                    state: view::state(state),
                    verb: "stop",
                }),
            };
        };
        let stage = operation.stage("stop", "shutting down");
        state::begin_stop(&self.shared, &self.id).await?;
        self.pause.exempt(&running.machine).await;
        let shut_down = stop::shut_down(
            &running.machine,
            &running.link,
            &self.shared.timeouts,
            &self.hurry,
        )
        .await;
        let how = self.unless_it_stays(shut_down).await?;
        self.after_machine(reason).await?;
        if let Some(warning) = how.warning() {
            operation.warn(warning);
        }
        stage.done(how.detail());
        Ok(())
    }

    /// The outcome of what was to end the machine: where it has not, the disk is guarded from it again.
    async fn unless_it_stays<T>(&self, ended: Result<T, EngineError>) -> Result<T, EngineError> {
        if ended.is_err() {
            self.pause.no_longer_exempt().await;
        }
        ended
    }

    /// Starts the VM where the host's disk has room for what it writes.
    async fn start_within(&mut self, operation: &OperationHandle) -> Result<(), EngineError> {
        if self.running.is_some() {
            return self.start(operation, None).await;
        }
        let shared = Arc::clone(&self.shared);
        shared.reserve.guard(operation, self.start(operation, None)).await
    }

    async fn restart(&mut self, operation: &OperationHandle) -> Result<(), EngineError> {
        // Before anything is stopped that could not be started again.
        self.shared.reserve.check(0)?;
        if self.running.is_some() {
            self.stop(operation, None).await?;
        }
        self.start_within(operation).await
    }

    async fn kill(
        &mut self,
        operation: &OperationHandle,
        signal: api::KillSignal,
    ) -> Result<(), EngineError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let name = self.row().await?.name;
        let stage = operation.stage("kill", format!("sending {signal}"));
        if signal != api::KillSignal::Kill {
            // A process that is stopped takes no other signal.
            self.pause.exempt(&running.machine).await;
        }
        let ended = stop::end(&running.machine, name, signal, operation, &self.hurry).await;
        self.unless_it_stays(ended).await?;
        self.after_machine(Some(format!("ended by {signal}, as asked for")))
            .await?;
        stage.done("ended");
        Ok(())
    }

    async fn set(&mut self, operation: &OperationHandle, change: api::SetVm) -> Result<(), EngineError> {
        let row = self.row().await?;
        if let Some(reason) = self.pause.reason() {
            return Err(EngineError::Paused {
                name: row.name,
                verb: "change",
                reason,
            });
        }
        let running = self
            .running
            .as_ref()
            .map(|running| (&*running.machine, &running.link));
        set::set(&self.shared, row, running, change, operation, &self.hurry).await
    }

    /// Goes on with a stop that the end of an earlier daemon cut off.
    async fn finish_stop(&mut self) {
        let Some(running) = &self.running else { return };
        self.pause.exempt(&running.machine).await;
        let shut_down = stop::shut_down(
            &running.machine,
            &running.link,
            &self.shared.timeouts,
            &self.hurry,
        )
        .await;
        let outcome = match self.unless_it_stays(shut_down).await {
            Ok(_) => self.after_machine(None).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot finish a stop");
        }
    }

    async fn delete(&mut self, idle: bool) -> Result<(), EngineError> {
        if idle && self.running.is_some() {
            let row = self.row().await?;
            let state = view::state(row.state);
            return Err(EngineError::WrongState {
                name: row.name,
                state,
                verb: "prune",
            });
        }
        self.shared.hit("delete.begin").await?;
        if let Some(running) = &self.running {
            let machine = Arc::clone(&running.machine);
            self.let_go().await;
            machine.kill().await?;
        }
        self.remove().await
    }

    /// Removes all there is of the VM: what runs, its row, its folder.
    async fn remove(&mut self) -> Result<(), EngineError> {
        self.let_go().await;
        create::remove(&self.shared, &self.id).await
    }

    async fn machine_ended(&mut self, reason: String) {
        tracing::info!(vm = %self.id, %reason, "the machine ended");
        if let Err(error) = self.after_machine(Some(reason)).await {
            tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot record the end of a machine");
        }
    }

    /// The machine is gone: takes down what belonged to it and records the state.
    async fn after_machine(&mut self, reason: Option<String>) -> Result<(), EngineError> {
        self.let_go().await;
        let folder = self.shared.paths.vm(&self.id);
        let torn_down = start::tear_down(&*self.shared.machines, &folder).await;
        state::stopped(&self.shared, &self.id, reason).await?;
        torn_down
    }

    /// Nothing runs any more, or is to: its ports are free when this returns.
    async fn let_go(&mut self) {
        let running = self.running.take();
        self.set_running(None);
        if let Some(running) = running {
            running.published.release().await;
        }
    }

    fn set_running(&mut self, running: Option<Running>) {
        self.live.send_modify(|live| {
            live.pid = running.as_ref().map(|running| running.machine.pid());
            live.machine = running.as_ref().map(|running| Arc::clone(&running.machine));
            live.link = running.as_ref().map(|running| running.link.state());
        });
        if running.is_none() {
            self.pause.reset();
        }
        self.running = running;
    }

    async fn row(&self) -> Result<VmRow, EngineError> {
        self.shared
            .store
            .vms()
            .get(&self.id)
            .await?
            .ok_or_else(|| EngineError::VmNotFound {
                reference: self.id.clone(),
                suggestion: None,
            })
    }

    async fn view(&self) -> Option<api::Vm> {
        let row = self.row().await.ok()?;
        let pid = self.live.borrow().pid;
        Some(view::vm(
            row,
            &self.shared.paths.vm(&self.id),
            pid,
            self.pause.reason(),
        ))
    }
}

impl Shared {
    /// Ends what was asked of a VM that is gone: to have it deleted has come true.
    pub(crate) async fn turn_away(&self, command: &Command, name: &str) {
        let gone = EngineError::VmNotFound {
            reference: name.to_owned(),
            suggestion: None,
        };
        let outcome = match command {
            Command::Delete { .. } => Ok(None),
            _ => Err(&gone),
        };
        self.operations.end(command.operation(), outcome).await;
    }
}

/// Ends when the machine does; never where there is none.
async fn ended(running: Option<&Running>) -> String {
    match running {
        Some(running) => running.machine.wait().await,
        None => std::future::pending().await,
    }
}

/// Ends when the link says another boot id than the last time it was asked; never where there is no link.
async fn next_boot(running: Option<&Running>) -> String {
    let Some(running) = running else {
        return std::future::pending().await;
    };
    let mut state = running.link.state();
    let before = state.borrow_and_update().boot_id.clone();
    loop {
        if state.changed().await.is_err() {
            return std::future::pending().await;
        }
        match &state.borrow_and_update().boot_id {
            Some(boot_id) if before.as_ref() != Some(boot_id) => return boot_id.clone(),
            _ => {}
        }
    }
}
