//! Starting QEMU: ready when it answers on its control socket.

use std::sync::Arc;

use process::Launch;

use super::arguments::{Card, Found, arguments};
use super::confine::{INITRAMFS, KERNEL, confinement, refusal};
use super::machine::{QemuMachine, remove_traces};
use super::qmp::Session;
use super::{AGENT_SOCKET, QMP_SOCKET, Qemu};
use crate::groups::{self, Share};
use crate::limits::{Counted, limit_qemu};
use crate::logs::{Inlets, Keeper};
use crate::processes::{PROCESS_RECORD, Processes, Starting, cannot_execute, open};
use crate::spec::TAPS;
use crate::{Confine, Folder, Machine, MachineSpec, NetworkDevice, VmmError};

/// What stands between QEMU and the host, beside its own filters and limits.
#[derive(Clone, Copy, Debug)]
enum Walls {
    Confinement,
    None,
}

/// Starts the machine.
pub(super) async fn start(qemu: &Qemu, spec: &MachineSpec) -> Result<Arc<dyn Machine>, VmmError> {
    let folder = Folder::open(&spec.folder)?;
    folder.close_to_others()?;
    let mut started = run(qemu, spec, &folder, Walls::Confinement).await;
    let needs_confinement = qemu.confine == Confine::Required || (qemu.attaches && spec.network.is_some());
    if let (Err(VmmError::Confine { source, .. }), false) = (&started, needs_confinement)
        && refusal().is_some()
    {
        let reason = source.reason();
        tracing::warn!(
            vm = spec.id,
            reason,
            "this host lets no process be confined: QEMU runs with all rights of its user"
        );
        started = run(qemu, spec, &folder, Walls::None).await;
    }
    let (processes, session) = started.inspect_err(|_| tidy(&folder))?;
    Ok(Arc::new(QemuMachine::started(folder, processes, session)))
}

async fn run(
    qemu: &Qemu,
    spec: &MachineSpec,
    folder: &Folder,
    walls: Walls,
) -> Result<(Processes, Session), VmmError> {
    let (keeper, inlets) = Keeper::prepare(&qemu.log_keeper, folder)?;
    let mut launch = prepare(qemu, spec, folder, inlets, walls)?;
    if let Some(group) = groups::make(folder, spec, Share::of_qemu(spec, qemu.acceleration)).await {
        launch.group(group);
    }
    let starting = Starting::start(&qemu.binary, launch, keeper).await?;
    let socket = folder.socket(QMP_SOCKET);
    starting.until(folder, Session::open(&socket)).await
}

/// QEMU's launch with all that it finds open.
fn prepare(
    qemu: &Qemu,
    spec: &MachineSpec,
    folder: &Folder,
    inlets: Inlets,
    walls: Walls,
) -> Result<Launch, VmmError> {
    let spawn = |source| cannot_execute(&qemu.binary, source);
    let (network, wire) = match &spec.network {
        Some(device @ NetworkDevice::Socket { .. }) if qemu.attaches => (None, device.wire()?),
        Some(NetworkDevice::Socket { socket, .. }) => (Some(socket.0.try_clone().map_err(spawn)?), None),
        Some(NetworkDevice::BuiltIn { .. }) | None => (None, None),
    };
    let binary = qemu.binary.canonicalize().map_err(spawn)?;
    // Found out here, where it can be said which file it is.
    for path in [&spec.kernel, &spec.initramfs] {
        open(path, true)?;
    }
    let mut launch = Launch::new(&binary, folder.path(), folder.path().join(PROCESS_RECORD));
    let (kernel, initramfs) = match walls {
        Walls::Confinement => {
            let mut confinement = confinement(qemu.acceleration, &binary, spec, folder)?;
            if wire.is_some() {
                confinement.device(TAPS);
            }
            launch.confine(confinement);
            (KERNEL.into(), INITRAMFS.into())
        }
        Walls::None => (spec.kernel.clone(), spec.initramfs.clone()),
    };
    let mut drives = Vec::new();
    for drive in &spec.drives {
        drives.push(launch.pass(open(&drive.path, drive.read_only)?));
    }
    let found = Found {
        kernel,
        initramfs,
        drives,
        console: launch.pass(inlets.console),
        agent: launch.pass(folder.listen(AGENT_SOCKET)?),
        control: launch.pass(folder.listen(QMP_SOCKET)?),
        network: match (network, &wire) {
            (Some(socket), _) => Card::Stream(launch.pass(socket)),
            (None, Some(_)) => Card::Tap,
            (None, None) => Card::BuiltIn,
        },
    };
    if let Some(wire) = wire {
        launch.wire(wire);
    }
    let counted = match walls {
        Walls::Confinement => Counted::Apart,
        Walls::None => Counted::WithUser,
    };
    limit_qemu(&mut launch, spec, qemu.acceleration, counted);
    launch
        .output(inlets.log)
        .arguments(arguments(spec, qemu.acceleration, &found));
    Ok(launch)
}

/// Removes what stands for a running machine; the logs stay.
fn tidy(folder: &Folder) {
    if let Err(error) = remove_traces(folder) {
        tracing::warn!(%error, "a socket stays behind");
    }
}
