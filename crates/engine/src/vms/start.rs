//! The start plan: network, machine, agent; each step with its undo.
//!
//! An undo goes by what lies in the VM's folder, so that the same undo serves a failed start, a cancelled one and,
//! after a crash, the next daemon.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::{BootWay, NetworkMode};
use store::{Change, VmRow, VmUpdate};
use tokio_util::sync::CancellationToken;
use vmm::{Backend, Drive, End, Machine, MachineSpec, NetworkDevice, RateLimit};

use super::link::Link;
use super::{Shared, ending, recorded};
use crate::artefacts::{Image, Kernel, seeds};
use crate::faults::Faults;
use crate::identity::Identity;
use crate::operations::OperationHandle;
use crate::plan::{self, Step};
use crate::{EngineError, Machines, Networks, console, walls};

/// Which of a machine's drives is the one that it writes to.
pub(crate) fn writable_drive(boot: BootWay) -> usize {
    match boot {
        BootWay::Overlay => 1,
        BootWay::Direct => 0,
    }
}

/// The agent starts before the image's initrd; the rest tells that where the root is. What is deleted in the guest is
/// told to the host, whose file shrinks.
const COMMAND_LINE_DIRECT: &str = "rdinit=/banger/init root=/dev/vda rw rootflags=discard,noinit_itable";

/// What a start needs to know.
pub(crate) struct Inputs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) row: VmRow,
    pub(crate) folder: PathBuf,
    pub(crate) kernel: Kernel,
    /// None where the VM's disk has all of it.
    pub(crate) image: Option<Image>,
    pub(crate) initramfs: PathBuf,
    /// The archive that `/root` gets, at a first start.
    pub(crate) seed: Option<PathBuf>,
    pub(crate) backend: Arc<dyn Backend>,
    /// How fast each disk may be used.
    pub(crate) disk_limit: RateLimit,
    pub(crate) machines: Arc<dyn Machines>,
    pub(crate) identity: Identity,
    pub(crate) networks: Networks,
    /// Walls that are missing and that the configuration lets be missing, a line each.
    pub(crate) left_out: Vec<String>,
    pub(crate) ready_within: Duration,
}

/// A machine whose agent answers.
pub(crate) struct Started {
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) link: Link,
    pub(crate) boot_id: String,
}

/// Starts a machine; what was done is undone on failure and on cancellation.
pub(crate) async fn start(
    inputs: Inputs,
    operation: &OperationHandle,
    cancel: &CancellationToken,
    faults: &dyn Faults,
) -> Result<Started, EngineError> {
    check_disk(&super::layer_path(&inputs.folder))?;
    for line in &inputs.left_out {
        operation.warn(line.as_str());
    }
    if inputs.row.network != NetworkMode::None
        && let Some(line) = net::HostResolver::read().warning()
    {
        operation.warn(line);
    }
    let ipv6 = ipv6_of(&inputs, operation).await;
    let steps: [Box<dyn Step<Start>>; 4] = [
        Box::new(ConnectNetwork),
        Box::new(StartMachine),
        Box::new(ReachAgent),
        Box::new(PlantSeed),
    ];
    let mut start = Start {
        inputs,
        ipv6,
        network: None,
        machine: None,
        link: None,
        boot_id: None,
    };
    let timed = |step: &str, took: Duration| operation.timing(step, took);
    plan::run("start", &steps, &mut start, cancel, faults, &timed).await?;
    match (start.machine, start.link, start.boot_id) {
        (Some(machine), Some(link), Some(boot_id)) => Ok(Started {
            machine,
            link,
            boot_id,
        }),
        _ => Err(EngineError::Internal(
            "the start plan ended without a machine".into(),
        )),
    }
}

/// What this host has of IPv6 for the guest; it is said where that is asked for and there is none.
async fn ipv6_of(inputs: &Inputs, operation: &OperationHandle) -> Option<net::HostIpv6> {
    let networks = &inputs.networks;
    let is_asked_for = inputs.row.network == NetworkMode::User && networks.ipv6;
    if !is_asked_for || net::find_passt(networks.passt.as_deref()).is_none() {
        return None;
    }
    match net::HostIpv6::find().await {
        Ok(found) => Some(found),
        Err(reason) => {
            operation.warn(reason.to_string());
            None
        }
    }
}

/// A guest is given its own disk only: a link in its place would lead its writes into another file of the user's. Of one
/// that is gone or empty the guest could say only that it cannot be mounted.
fn check_disk(path: &Path) -> Result<(), EngineError> {
    let found = path.symlink_metadata().map_err(EngineError::file("use", path))?;
    let wrong = match (found.is_file(), found.len()) {
        (false, _) => "it is no plain file",
        (true, 0) => "it is empty",
        (true, _) => return Ok(()),
    };
    Err(EngineError::file("use", path)(io::Error::other(wrong)))
}

/// What the steps hand on.
struct Start {
    inputs: Inputs,
    /// Where the guest has it.
    ipv6: Option<net::HostIpv6>,
    network: Option<NetworkDevice>,
    machine: Option<Arc<dyn Machine>>,
    link: Option<Link>,
    boot_id: Option<String>,
}

impl Start {
    fn machine_spec(&self) -> MachineSpec {
        let disk = |path: PathBuf, read_only| Drive {
            path,
            read_only,
            limit: self.inputs.disk_limit,
        };
        let layer = disk(super::layer_path(&self.inputs.folder), false);
        let (command_line, drives) = match &self.inputs.image {
            Some(image) => {
                let modules = disk(self.inputs.kernel.modules(), true);
                ("", vec![disk(image.rootfs.clone(), true), layer, modules])
            }
            None => (COMMAND_LINE_DIRECT, vec![layer]),
        };
        MachineSpec {
            id: self.inputs.row.id.clone(),
            folder: self.inputs.folder.clone(),
            vcpu: self.inputs.row.vcpu,
            memory_mib: self.inputs.row.memory_mib,
            kernel: self.inputs.kernel.vmlinux(),
            initramfs: self.inputs.initramfs.clone(),
            command_line: command_line.to_owned(),
            drives,
            network: self.network.clone(),
        }
    }
}

/// Gives the VM its network.
struct ConnectNetwork;

impl Step<Start> for ConnectNetwork {
    fn name(&self) -> &'static str {
        "network"
    }

    fn run<'a>(&'a self, start: &'a mut Start) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            if start.inputs.row.network == NetworkMode::None {
                return Ok(());
            }
            let mac = net::mac_for(&start.inputs.row.id);
            start.network = Some(match net::find_passt(start.inputs.networks.passt.as_deref()) {
                Some(passt) => {
                    let Networks { open, program, .. } = &start.inputs.networks;
                    let binaries = net::Binaries {
                        passt: &passt,
                        own: program.as_deref(),
                    };
                    let folder = &start.inputs.folder;
                    let network = net::start_user(folder, binaries, open, start.ipv6.as_ref()).await?;
                    let plan = net::ipv6_plan(folder);
                    start.inputs.identity = start.inputs.identity.clone().with_ipv6(plan);
                    NetworkDevice::Socket {
                        socket: network.socket.into(),
                        mac,
                        mtu: net::user_plan().mtu,
                    }
                }
                None if walls::uses_builtin(&start.inputs.networks, &*start.inputs.backend) => {
                    NetworkDevice::BuiltIn { mac }
                }
                None => {
                    let configured = start.inputs.networks.passt.as_ref();
                    let passt = configured.map_or("passt".to_owned(), |passt| passt.display().to_string());
                    return Err(EngineError::PasstMissing { passt });
                }
            });
            Ok(())
        })
    }

    fn undo<'a>(&'a self, start: &'a mut Start) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            start.network = None;
            net::stop(&start.inputs.folder).await.map_err(EngineError::from)
        })
    }
}

/// Starts the VMM.
struct StartMachine;

impl Step<Start> for StartMachine {
    fn name(&self) -> &'static str {
        "machine"
    }

    fn run<'a>(&'a self, start: &'a mut Start) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let spec = start.machine_spec();
            let machine = start.inputs.backend.start(&spec).await?;
            let inputs = &start.inputs;
            let note = recorded::note(&inputs.shared, machine.pid());
            start.machine = Some(machine);
            let update = VmUpdate {
                process: note.map_or(Change::Clear, Change::Set),
                ..VmUpdate::default()
            };
            inputs.shared.store.vms().update(&inputs.row.id, update).await?;
            // The machine holds its own end of the network now.
            start.network = None;
            Ok(())
        })
    }

    fn undo<'a>(&'a self, start: &'a mut Start) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            start.machine = None;
            kill_machine(&*start.inputs.machines, &start.inputs.folder).await
        })
    }
}

/// Waits until the agent answers and has the VM's identity.
struct ReachAgent;

impl Step<Start> for ReachAgent {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn run<'a>(&'a self, start: &'a mut Start) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let Some(machine) = start.machine.clone() else {
                return Err(EngineError::Internal("no machine to reach an agent in".into()));
            };
            let link = Link::keep(machine.channel(), start.inputs.identity.clone());
            tokio::select! {
                agent = link.agent() => {
                    let (_, boot_id) = agent?;
                    start.boot_id = Some(boot_id);
                    start.link = Some(link);
                    Ok(())
                }
                end = machine.wait() => Err(ended_early(end, &start.inputs.folder)),
                () = tokio::time::sleep(start.inputs.ready_within) => {
                    let trouble = link.state().borrow().trouble.clone();
                    if let Some(trouble) = trouble {
                        tracing::warn!(vm = %start.inputs.row.name, %trouble, "the agent stayed silent");
                    }
                    Err(EngineError::AgentSilent {
                        waited: start.inputs.ready_within,
                        console: console::cause(&start.inputs.folder),
                    })
                }
            }
        })
    }

    fn undo<'a>(&'a self, start: &'a mut Start) -> BoxFuture<'a, Result<(), EngineError>> {
        start.link = None;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What to say of a machine that has ended before its agent answered.
fn ended_early(end: End, folder: &Path) -> EngineError {
    let reason = match ending::last_word(folder) {
        ending::LastWord::Panicked(what) => format!("the guest's kernel panicked: {what}"),
        _ => end.reason,
    };
    EngineError::MachineEnded {
        reason,
        console: console::cause(folder),
    }
}

/// Unpacks the image's work seed, where the VM has not had it.
struct PlantSeed;

impl Step<Start> for PlantSeed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn run<'a>(&'a self, start: &'a mut Start) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let (Some(seed), Some(link)) = (&start.inputs.seed, &start.link) else {
                return Ok(());
            };
            let (agent, _) = link.agent().await?;
            seeds::plant(seed, &agent).await
        })
    }

    /// A start that fails later unpacks it once more.
    fn undo<'a>(&'a self, _: &'a mut Start) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Takes back all that a start leaves beside the layer: the machine and its network. Fine where there is nothing.
pub(crate) async fn tear_down(machines: &dyn Machines, folder: &Path) -> Result<(), EngineError> {
    let machine = kill_machine(machines, folder).await;
    let network = net::stop(folder).await.map_err(EngineError::from);
    machine.and(network)
}

async fn kill_machine(machines: &dyn Machines, folder: &Path) -> Result<(), EngineError> {
    if let Some(machine) = machines.find(folder).await? {
        machine.kill().await?;
    }
    Ok(())
}
