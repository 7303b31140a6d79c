//! The service for VMs: it resolves references, begins operations and hands them to each VM's own task.

mod actor;
mod clock;
mod command;
mod create;
mod ending;
mod files;
mod forward;
mod guard;
mod hurry;
mod link;
mod logs;
mod pause;
mod publish;
mod reconcile;
mod recorded;
mod reference;
mod request;
mod running;
mod set;
mod ssh;
mod stale;
mod start;
mod state;
mod stats;
mod stop;
mod verbs;
mod view;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{CreateVm, Event};
use config::Paths;
use model::BootWay;
use store::{Change, Store, StoreError, VmRow};
use tokio::sync::{mpsc, watch};

pub(crate) use clock::watch as keep_clocks;
pub(crate) use guard::watch as guard_disk;
pub use logs::Follow;
pub(crate) use reconcile::reconcile;
pub(crate) use stale::watch as stop_unused;

use crate::artefacts::{Artefacts, Image, container};
use crate::faults::Faults;
use crate::identity::Identity;
use crate::notices::Notices;
use crate::operations::{OperationHandle, Operations};
use crate::room::Reserve;
use crate::ssh::SshKeys;
use crate::{Configured, Defaults, EngineError, Machines, Networks, walls};
use actor::Live;
use command::Command;
use hurry::{Hurried, Hurry};
use pause::Pause;

/// How many made-up names are tried before it is given up.
const NAME_TRIES: usize = 16;
/// How long a call waits for the agent of a running VM.
const AGENT: Duration = Duration::from_secs(20);

/// How long the engine waits for a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of the VMM until the agent answers.
    pub ready: Duration,
    /// For the guest's own shutdown.
    pub shutdown: Duration,
    /// For the agent's sync and power off.
    pub power_off: Duration,
    /// From a guest's word that it ends until it has.
    pub last_word: Duration,
    /// What the first of several reboots in a row waits, where each boot was of no use; each further one twice as long.
    pub reboot: Duration,
    /// How long a VM may be unused before it is shut down; for ever if `None`.
    pub unused: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            ready: Duration::from_secs(120),
            shutdown: Duration::from_secs(60),
            power_off: Duration::from_secs(15),
            last_word: Duration::from_secs(10),
            reboot: Duration::from_millis(100),
            unused: None,
        }
    }
}

/// What the tasks of all VMs share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) paths: Paths,
    pub(crate) ssh: Arc<SshKeys>,
    pub(crate) operations: Operations,
    pub(crate) notices: Notices,
    pub(crate) artefacts: Artefacts,
    pub(crate) machines: Arc<dyn Machines>,
    pub(crate) faults: Arc<dyn Faults>,
    pub(crate) timeouts: Timeouts,
    pub(crate) reserve: Reserve,
    pub(crate) networks: Networks,
    pub(crate) configured: Option<Arc<dyn Configured>>,
    pub(crate) ca_certificates: Option<String>,
    pub(crate) defaults: Defaults,
    /// For connections to ports of guests.
    pub(crate) slots: guest::forward::Slots,
    pub(crate) tasks: Mutex<HashMap<String, Task>>,
}

/// The ends of a VM's task that others hold.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    commands: mpsc::Sender<Queued>,
    live: watch::Receiver<Live>,
    /// Has a shutdown kill the machine.
    hurry: Arc<Hurry>,
    /// Whether it is held back.
    pause: Arc<Pause>,
}

/// A command on its way to a VM's task.
#[derive(Debug)]
pub(crate) struct Queued {
    command: Command,
    /// Where it does not wait for a shutdown.
    hurried: Option<Hurried>,
}

impl Task {
    /// Queues a command; gives it back where the task has ended, and with it the VM.
    async fn send(&self, command: Command) -> Result<(), Command> {
        let hurried = command.hurries().then(|| self.hurry.queue());
        let queued = Queued { command, hurried };
        self.commands
            .send(queued)
            .await
            .map_err(|mpsc::error::SendError(queued)| queued.command)
    }
}

impl Shared {
    /// A named point that tests can arm.
    pub(crate) async fn hit(&self, point: &str) -> Result<(), EngineError> {
        self.faults.hit(point).await.map_err(EngineError::Internal)
    }

    pub(crate) fn identity(&self, row: &VmRow) -> Identity {
        let identity = Identity::of(row, self.ca_certificates.clone());
        identity.with_ipv6(net::ipv6_plan(&self.paths.vm(&row.id)))
    }

    /// The tasks of VMs that run.
    pub(crate) fn running(&self) -> Vec<(String, Task)> {
        let tasks = self.tasks();
        let running = tasks.iter().filter(|(_, task)| task.live.borrow().pid.is_some());
        running.map(|(id, task)| (id.clone(), task.clone())).collect()
    }

    /// Takes a VM's task off the list.
    pub(crate) fn forget(&self, id: &str) {
        self.tasks().remove(id);
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<String, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What machines run on and how they get their networks, by the configuration of this moment.
    pub(crate) fn configured(&self) -> Result<(Arc<dyn Machines>, Networks), EngineError> {
        match &self.configured {
            Some(configured) => configured.read(),
            None => Ok((Arc::clone(&self.machines), self.networks.clone())),
        }
    }

    /// Gathers what a start needs; also what went missing since the VM was made.
    pub(crate) async fn start_inputs(
        self: &Arc<Self>,
        row: VmRow,
        operation: &OperationHandle,
    ) -> Result<start::Inputs, EngineError> {
        let (machines, networks) = self.configured()?;
        let choice = machines.choose_again(&row.vmm)?;
        let left_out = walls::left_out(&*machines, &networks, &*choice.backend, row.network);
        let mut reasons = vec![choice.reason];
        reasons.extend(left_out.iter().cloned());
        reasons.retain(|reason| !reason.is_empty());
        let update = store::VmUpdate {
            vmm: Some(choice.backend.name().to_owned()),
            vmm_reason: Some(reasons.join("; ")),
            ..store::VmUpdate::default()
        };
        self.store.vms().update(&row.id, update).await?;
        let kernel = match self.artefacts.kernel_version(&row.kernel, &row.kernel_version) {
            Some(kernel) => kernel,
            None => self.artefacts.ensure_kernel(&row.kernel, operation).await?,
        };
        let image = match row.boot {
            BootWay::Overlay => Some(self.image_of(&row, operation).await?),
            BootWay::Direct => None,
        };
        Ok(start::Inputs {
            shared: Arc::clone(self),
            folder: self.paths.vm(&row.id),
            seed: row.work_seed.as_deref().map(|digest| self.artefacts.seed(digest)),
            initramfs: self.artefacts.ensure_initramfs(&kernel, row.boot).await?,
            identity: self.identity(&row),
            disk_limit: machines.disk_limit(),
            machines,
            backend: choice.backend,
            networks,
            left_out,
            ready_within: self.timeouts.ready,
            kernel,
            image,
            row,
        })
    }

    /// The image that a VM's disk lies over.
    async fn image_of(&self, row: &VmRow, operation: &OperationHandle) -> Result<Image, EngineError> {
        if let Some(image) = self.artefacts.find_digest(&row.image_digest).await? {
            return Ok(image);
        }
        let image = self.artefacts.ensure_image(&row.image, operation).await?;
        if image.digest != row.image_digest {
            return Err(EngineError::Internal(format!(
                "the image `{}` that this disk was made for is gone, and it builds differently now",
                row.image
            )));
        }
        Ok(image)
    }
}

/// The service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Vms {
    shared: Arc<Shared>,
}

impl Vms {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// All VMs, oldest first.
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn list(&self) -> Result<Vec<api::Vm>, EngineError> {
        let rows = self.shared.store.vms().list().await?;
        Ok(rows.into_iter().map(|row| self.view(row)).collect())
    }

    /// One VM.
    ///
    /// # Errors
    /// No or several VMs answer to the reference.
    pub async fn show(&self, reference: &str) -> Result<api::Vm, EngineError> {
        Ok(self.view(self.resolve(reference).await?))
    }

    /// Whether all is recorded of all VMs, and carried through.
    pub(crate) fn are_settled(&self) -> bool {
        let tasks = self.shared.tasks();
        !tasks.values().any(|task| task.live.borrow().unsettled)
    }

    /// How many VMs run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared
            .tasks()
            .values()
            .filter(|task| task.live.borrow().pid.is_some())
            .count()
    }

    /// The part of [`Vms::create`] that may wait for the catalog's server, as [`crate::Images::look_up`].
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn look_up(&self, request: &CreateVm) -> Result<(), EngineError> {
        let shared = &self.shared;
        let image = request.image.as_ref().unwrap_or(&shared.defaults.image);
        shared.artefacts.look_up(image).await
    }

    /// Creates a VM. When this returns its row exists and its name is taken.
    ///
    /// # Errors
    /// The request breaks a rule, the name is taken, the image is unknown, or no VMM works here.
    pub async fn create(&self, request: CreateVm) -> Result<OperationHandle, EngineError> {
        let shared = &self.shared;
        shared.reserve.check(0)?;
        let start = request.start;
        let made_up = request.name.is_none();
        let mut request = request;
        let image = request
            .image
            .take()
            .unwrap_or_else(|| shared.defaults.image.clone());
        let access = std::mem::take(&mut request.registry);
        let wanted = shared
            .artefacts
            .wanted(&image, access, &shared.defaults.image)
            .await?;
        request.image = Some(wanted.name);
        let kernel = match request.kernel.take() {
            Some(kernel) => shared.artefacts.kernel_that_boots(kernel, wanted.boot).await?,
            None => wanted.kernel,
        };
        let mut row = request::to_row(request, kernel, &shared.defaults)?;
        let choice = shared.configured()?.0.choose()?;
        row.vmm = choice.backend.name().to_owned();
        row.vmm_reason = choice.reason;
        let claimed = shared.claim_for_new(&row).await?;
        row.publish = publish::to_row(&claimed.ports());
        let operation = shared.operations.begin("create", Some(row.id.clone())).await?;
        if let Err(error) = self.insert(&mut row, made_up).await {
            shared.operations.end(&operation, Err(&error)).await;
            return Err(error);
        }
        shared.notices.tell(view::happening(&row));
        operation.push(Event::Resolved {
            vm: Box::new(self.view(row.clone())),
        });
        let task = actor::spawn(Arc::clone(shared), &row, None, None);
        shared.tasks().insert(row.id.clone(), task.clone());
        let command = Command::Create {
            operation: operation.clone(),
            claimed: start.then_some(claimed),
            import: wanted.import.map(Box::new),
        };
        self.send(&task, command, &row.name).await;
        Ok(operation)
    }

    async fn insert(&self, row: &mut VmRow, made_up: bool) -> Result<(), EngineError> {
        for _ in 0..NAME_TRIES {
            match self.shared.store.vms().insert(row.clone()).await {
                Ok(()) => return Ok(()),
                Err(StoreError::NameTaken { .. }) if made_up => row.name = request::made_up_name()?,
                Err(StoreError::NameTaken { name }) => return Err(EngineError::VmExists { name }),
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::VmExists {
            name: row.name.clone(),
        })
    }

    /// Starts a VM; fine if it runs.
    ///
    /// # Errors
    /// No or several VMs answer to the reference.
    pub async fn start(&self, reference: &str) -> Result<OperationHandle, EngineError> {
        let (row, task) = self.task(reference).await?;
        self.hand_over("start", row, &task, |operation| Command::Start {
            operation,
            reboot: Change::Clear,
        })
        .await
    }

    /// Stops a VM; a start under way is cancelled. Fine if it is stopped.
    ///
    /// # Errors
    /// No or several VMs answer to the reference.
    pub async fn stop(&self, reference: &str) -> Result<OperationHandle, EngineError> {
        let (row, task) = self.task(reference).await?;
        cancel_start(&row, &task, false);
        self.hand_over("stop", row, &task, |operation| Command::Stop {
            operation,
            unused: None,
        })
        .await
    }

    /// Deletes a VM in whatever state, with all that belongs to it.
    ///
    /// # Errors
    /// No or several VMs answer to the reference.
    pub async fn delete(&self, reference: &str) -> Result<OperationHandle, EngineError> {
        let (row, task) = self.task(reference).await?;
        cancel_start(&row, &task, true);
        self.hand_over("delete", row, &task, |operation| Command::Delete {
            operation,
            idle: false,
        })
        .await
    }

    /// Begins a command in a running VM.
    ///
    /// # Errors
    /// The VM does not run, its agent does not answer, or it refuses the command.
    pub async fn exec(&self, reference: &str, exec: &guest::Exec) -> Result<guest::ExecStream, EngineError> {
        let (row, agent) = self.agent(reference, "run a command in", AGENT).await?;
        let exec = as_the_image_says(exec.clone(), row.image_config.as_deref());
        agent.exec(&exec).await.map_err(EngineError::Agent)
    }

    async fn resolve(&self, reference: &str) -> Result<VmRow, EngineError> {
        let rows = self.shared.store.vms().list().await?;
        reference::resolve(&rows, reference).cloned()
    }

    async fn task(&self, reference: &str) -> Result<(VmRow, Task), EngineError> {
        let row = self.resolve(reference).await?;
        let task = self.shared.tasks().get(&row.id).cloned();
        // A row whose task is gone is a VM on its way out.
        let task = task.ok_or_else(|| EngineError::VmNotFound {
            reference: reference.to_owned(),
            suggestion: None,
        })?;
        Ok((row, task))
    }

    /// Begins an operation and gives it to the VM's task.
    async fn hand_over(
        &self,
        kind: &'static str,
        row: VmRow,
        task: &Task,
        command: impl FnOnce(OperationHandle) -> Command,
    ) -> Result<OperationHandle, EngineError> {
        let operation = self.shared.operations.begin(kind, Some(row.id.clone())).await?;
        self.send(task, command(operation.clone()), &row.name).await;
        Ok(operation)
    }

    async fn send(&self, task: &Task, command: Command, name: &str) {
        if let Err(command) = task.send(command).await {
            self.shared.turn_away(&command, name).await;
        }
    }

    fn view(&self, row: VmRow) -> api::Vm {
        let task = self.shared.tasks().get(&row.id).cloned();
        let pid = task.as_ref().and_then(|task| task.live.borrow().pid);
        let paused = task.and_then(|task| task.pause.reason());
        let folder = self.shared.paths.vm(&row.id);
        let connections = self.shared.slots.usage(&row.id);
        view::vm(row, &folder, pid, paused, connections)
    }
}

/// A command that names no user or folder of its own gets its image's. A shell is root's, in root's home.
fn as_the_image_says(mut exec: guest::Exec, config: Option<&str>) -> guest::Exec {
    if !exec.is_shell()
        && let Some(config) = container::config_of(config)
    {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        exec.user = exec.user.or_else(|| some(config.user));
        exec.workdir = exec.workdir.or_else(|| some(config.working_dir));
    }
    exec
}

/// A stop or a delete does not wait for a start to end first. A VM that is being made is only given up for a delete.
fn cancel_start(row: &VmRow, task: &Task, delete: bool) {
    let live = task.live.borrow();
    let Some(current) = &live.current else { return };
    if !matches!(current.kind(), "create" | "start" | "restart" | "reboot") {
        return;
    }
    tracing::info!(vm = %row.name, operation = current.id(), "cancelled by a stop or a delete");
    match (current.kind(), delete) {
        ("create", false) => live.starting.cancel(),
        _ => current.cancel(),
    }
}

/// A VM's writable layer.
pub(crate) fn layer_path(folder: &Path) -> PathBuf {
    folder.join("layer.ext4")
}
