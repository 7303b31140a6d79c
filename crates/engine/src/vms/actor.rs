//! The one task that owns a VM. Every change to the VM goes through its queue.

mod own_end;
mod settle;
mod starting;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::VmState;
use store::VmRow;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use vmm::{End, Machine};

use super::command::Command;
use super::ending::{Gone, Reboots};
use super::hurry::Hurry;
use super::link::{Link, LinkState};
use super::pause::Pause;
use super::publish::{self, Published};
use super::running::{Running, ended, network_ended, next_boot};
use super::state::Off;
use super::{Queued, Shared, Task, set, stale, state, stop, view};
use crate::EngineError;
use crate::error::one_line;
use crate::operations::{OperationHandle, caught};
pub(crate) use settle::Due;
use settle::Unsettled;

/// What a VM's task sees to.
enum Event {
    /// An earlier daemon was shutting it down.
    Stopping,
    Command(Command),
    /// Something is to be settled.
    Settle,
    Ended(End),
    Gone(Gone),
    NetworkEnded(&'static str),
    NextKernel(String),
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
    /// Whether something of it is not recorded, or not carried through.
    pub(crate) unsettled: bool,
    /// Cancels its start, and with it what is under way unless that makes the VM.
    pub(crate) starting: CancellationToken,
}

/// The task's own state.
pub(crate) struct Actor {
    shared: Arc<Shared>,
    id: String,
    name: String,
    live: watch::Sender<Live>,
    hurry: Arc<Hurry>,
    pause: Arc<Pause>,
    running: Option<Running>,
    reboots: Reboots,
    unsettled: Unsettled,
    /// Whether all of the VM is removed.
    gone: bool,
    /// Cancels the start that is under way.
    starting: CancellationToken,
}

/// Begins the task of a VM; `machine` is what an earlier daemon left running, with the state it was in, `due` what has
/// to be done before anything else.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    row: &VmRow,
    machine: Option<Arc<dyn Machine>>,
    due: Option<Due>,
) -> Task {
    let (commands, queue) = mpsc::channel(16);
    let (live, seen) = watch::channel(Live::default());
    let hurry = Arc::new(Hurry::default());
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
        reboots: Reboots::default(),
        unsettled: Unsettled::new(due),
        gone: false,
        starting: CancellationToken::new(),
    };
    if let Some(machine) = machine {
        actor.take_up(machine, row);
    }
    let stopping = row.state == VmState::Stopping;
    tokio::spawn(actor.work(queue, stopping));
    task
}

impl Actor {
    async fn work(mut self, mut queue: mpsc::Receiver<Queued>, stopping: bool) {
        if stopping {
            self.handle(Event::Stopping).await;
        }
        while !self.gone {
            let (folder, grace) = (self.folder(), self.shared.timeouts.last_word);
            let event = tokio::select! {
                queued = queue.recv() => match queued {
                    Some(Queued { command, hurried }) => {
                        drop(hurried);
                        Event::Command(command)
                    }
                    None => return,
                },
                () = settle::again(&self.unsettled) => Event::Settle,
                end = ended(self.running.as_ref()) => Event::Ended(end),
                gone = own_end::gone(&folder, grace, self.running.as_ref()) => Event::Gone(gone),
                part = network_ended(self.running.as_ref()) => Event::NetworkEnded(part),
                boot_id = next_boot(self.running.as_ref()) => Event::NextKernel(boot_id),
            };
            self.handle(event).await;
        }
        self.shared.forget(&self.id);
        // Whoever was waiting is told, too.
        queue.close();
        while let Some(queued) = queue.recv().await {
            self.shared.turn_away(&queued.command, &self.name).await;
        }
    }

    /// Sees to what has happened. A panic in that is no end of the task: it is looked at what there is then.
    async fn handle(&mut self, event: Event) {
        let handled = match event {
            Event::Command(command) => {
                self.carry_out(command).await;
                Ok(())
            }
            event => {
                caught(async {
                    match event {
                        Event::Stopping => self.finish_stop().await,
                        Event::Settle => {
                            if let Err(error) = self.settle().await {
                                tracing::debug!(vm = %self.id, error = %one_line(&error), "not settled");
                            }
                        }
                        Event::Ended(end) => self.machine_ended(end).await,
                        Event::Gone(gone) => self.machine_gone(gone).await,
                        Event::NetworkEnded(part) => self.network_ended(part).await,
                        Event::NextKernel(boot_id) => self.next_kernel(&boot_id).await,
                        Event::Command(_) => {}
                    }
                    Ok(())
                })
                .await
            }
        };
        if let Err(error) = handled {
            tracing::error!(vm = %self.id, error = %one_line(&error), "while seeing to a VM");
            self.unsettled.look();
        }
        let is_unsettled = self.unsettled.is_any();
        self.live
            .send_if_modified(|live| std::mem::replace(&mut live.unsettled, is_unsettled) != is_unsettled);
    }

    /// Carries a command out and ends its operation.
    async fn carry_out(&mut self, command: Command) {
        let operation = command.operation().clone();
        let is_create = matches!(command, Command::Create { .. });
        self.set_current(Some(&operation));
        let outcome = caught(self.obey(command)).await;
        if outcome.as_ref().is_err_and(EngineError::is_panic) {
            match is_create {
                true => self.unsettled.set(Due::Gone),
                false => self.unsettled.look(),
            }
        }
        self.set_current(None);
        if self.gone {
            self.shared.forget(&self.id);
        }
        let vm = if self.gone { None } else { self.view().await };
        self.shared
            .operations
            .end(&operation, outcome.as_ref().map(|()| vm))
            .await;
    }

    async fn obey(&mut self, command: Command) -> Result<(), EngineError> {
        let settled = self.settle().await;
        let is_delete = matches!(command, Command::Delete { idle: false, .. });
        if self.gone {
            return if is_delete { Ok(()) } else { Err(self.not_found()) };
        }
        if !is_delete {
            settled?;
        }
        let operation = command.operation().clone();
        match command {
            Command::Create { claimed, import, .. } => self.create(&operation, claimed, import).await,
            Command::Start { reboot, .. } => self.start_within(&operation, reboot).await,
            Command::Stop { unused, .. } => self.stop(&operation, unused).await,
            Command::Restart { .. } => self.restart(&operation).await,
            Command::Kill { signal, .. } => self.kill(&operation, signal).await,
            Command::Set { change, .. } => self.set(&operation, change).await,
            Command::Delete { idle, .. } => self.delete(idle).await,
        }
    }

    /// Shows what is under way.
    fn set_current(&mut self, operation: Option<&OperationHandle>) {
        self.starting = operation.map_or_else(CancellationToken::new, |operation| {
            operation.cancellation().child_token()
        });
        self.live.send_modify(|live| {
            live.current = operation.cloned();
            live.starting = self.starting.clone();
        });
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
                // A start that was cancelled for this stop may have been the first.
                VmState::Stopped | VmState::Created => Ok(()),
                state => Err(EngineError::WrongState {
                    name: row.name,
                    state,
                    verb: "stop",
                }),
            };
        };
        let stage = operation.stage("stop", "shutting down");
        state::begin_stop(&self.shared, &self.id).await?;
        self.pause.exempt(&running.machine).await;
        let timed = |step: &str, took: Duration| operation.timing(step, took);
        let folder = self.folder();
        let still = running.awaited(&folder, self.shared.timeouts.last_word);
        let shut_down = stop::shut_down(still, &self.shared.timeouts, &self.hurry, &timed).await;
        let how = self.unless_it_stays(shut_down).await?;
        let since = Instant::now();
        self.after_machine(how.reason().or(reason)).await?;
        timed("stop.network", since.elapsed());
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
        let folder = self.folder();
        let still = running.awaited(&folder, self.shared.timeouts.last_word);
        let shut_down = stop::shut_down(
            still,
            &self.shared.timeouts,
            &self.hurry,
            &|_: &str, _: Duration| {},
        )
        .await;
        let outcome = match self.unless_it_stays(shut_down).await {
            Ok(how) => self.after_machine(how.reason()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot finish a stop");
        }
    }

    async fn delete(&mut self, idle: bool) -> Result<(), EngineError> {
        if idle && self.running.is_some() {
            let row = self.row().await?;
            let state = row.state;
            return Err(EngineError::WrongState {
                name: row.name,
                state,
                verb: "prune",
            });
        }
        self.mark_deleted().await;
        let deleted = self.delete_marked().await;
        if deleted.is_err() && !self.unsettled.is_going() {
            // It is not being deleted any more, and what there is of it has to be seen.
            self.unsettled.look();
            let _ = self.settle().await;
        }
        deleted
    }

    async fn delete_marked(&mut self) -> Result<(), EngineError> {
        self.shared.hit("delete.begin").await?;
        if let Some(running) = &self.running {
            let machine = Arc::clone(&running.machine);
            self.let_go().await;
            if let Err(error) = machine.kill().await {
                // It is looked for once more.
                tracing::warn!(vm = %self.id, %error, "cannot end a machine");
            }
        }
        self.remove().await
    }

    /// The guest has lost its network: logged, and shown beside its state.
    async fn network_ended(&mut self, part: &'static str) {
        let Some(running) = &mut self.running else { return };
        let reason = format!("without a network since {part} ended; a restart of the VM brings it back");
        tracing::warn!(vm = %self.id, part, "a part of a running VM's network ended");
        running.network = None;
        running.lacks = Some(reason.clone());
        if let Err(error) = state::lacking(&self.shared, &self.id, reason).await {
            tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot record the end of a network");
        }
    }

    /// The machine is gone: takes down what belonged to it and records the state.
    async fn after_machine(&mut self, reason: Option<String>) -> Result<(), EngineError> {
        self.tear_down_and_record(Off::stopped(reason)).await
    }

    /// Goes on with a machine that runs.
    fn take_up(&mut self, machine: Arc<dyn Machine>, row: &VmRow) {
        let (pause, found) = (Arc::clone(&self.pause), Arc::clone(&machine));
        tokio::spawn(async move { pause.take_up(&found).await });
        let link = Link::keep(machine.channel(), self.shared.identity(row));
        let ports = publish::of_row(&row.publish);
        let slots = self.shared.slots.for_vm(&row.id, &row.name);
        let published = Published::take_up(ports, &row.name, &slots, &link.state());
        let folder = self.folder();
        self.set_running(Some(Running::of(machine, link, published, &folder)));
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

    fn folder(&self) -> PathBuf {
        self.shared.paths.vm(&self.id)
    }

    async fn row(&self) -> Result<VmRow, EngineError> {
        self.shared
            .store
            .vms()
            .get(&self.id)
            .await?
            .ok_or_else(|| self.not_found())
    }

    fn not_found(&self) -> EngineError {
        EngineError::VmNotFound {
            reference: self.name.clone(),
            suggestion: None,
        }
    }

    async fn view(&self) -> Option<api::Vm> {
        let row = self.row().await.ok()?;
        let pid = self.live.borrow().pid;
        let connections = self.shared.slots.usage(&row.id);
        Some(view::vm(
            row,
            &self.folder(),
            pid,
            self.pause.reason(),
            connections,
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
