//! Starting QEMU: ready when it answers on its control socket.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use process::{Handle, Launch, ProcessError, Signal, Started};

use super::arguments::{Found, arguments};
use super::confine::{INITRAMFS, KERNEL, confinement};
use super::machine::QemuMachine;
use super::qmp::Session;
use super::{AGENT_SOCKET, PROCESS_RECORD, QMP_SOCKET, Qemu, cannot_execute};
use crate::logs::{Inlets, Keeper, vmm_log};
use crate::text::last_lines;
use crate::{Folder, Machine, MachineSpec, NetworkDevice, VmmError};

/// How many of its log's last lines an early death is explained with.
const LINES: usize = 3;
/// How long a process that has hung up may take to be gone, and the keeper to have read its last words.
const DYING: Duration = Duration::from_secs(1);

/// Whether QEMU is confined.
#[derive(Clone, Copy, Debug)]
enum Confine {
    Yes,
    No,
}

/// Starts the machine.
pub(super) async fn start(qemu: &Qemu, spec: &MachineSpec) -> Result<Arc<dyn Machine>, VmmError> {
    let folder = Folder::open(&spec.folder)?;
    folder.close_to_others()?;
    let mut started = run(qemu, spec, &folder, Confine::Yes).await;
    if let Err(VmmError::Confine { source, .. }) = &started {
        let reason = source.reason();
        tracing::warn!(
            vm = spec.id,
            reason,
            "this host lets no process be confined: QEMU runs with all rights of its user"
        );
        started = run(qemu, spec, &folder, Confine::No).await;
    }
    let (process, keeper, session) = started.inspect_err(|_| tidy(&folder))?;
    Ok(Arc::new(QemuMachine::started(folder, process, keeper, session)))
}

async fn run(
    qemu: &Qemu,
    spec: &MachineSpec,
    folder: &Folder,
    confine: Confine,
) -> Result<(Handle, Handle, Session), VmmError> {
    let (keeper, inlets) = Keeper::prepare(&qemu.log_keeper, folder.path())?;
    let launch = prepare(qemu, spec, folder, inlets, confine)?;
    let running = Running::start(qemu, launch, keeper).await?;
    match running.until_ready(qemu, folder).await {
        Ok(session) => Ok((running.process.keep(), running.keeper.keep(), session)),
        Err(error) => {
            for process in [running.process, running.keeper] {
                end(process).await;
            }
            Err(error)
        }
    }
}

/// QEMU's launch with all that it finds open.
fn prepare(
    qemu: &Qemu,
    spec: &MachineSpec,
    folder: &Folder,
    inlets: Inlets,
    confine: Confine,
) -> Result<Launch, VmmError> {
    let spawn = |source| cannot_execute(&qemu.binary, source);
    let network = match &spec.network {
        Some(NetworkDevice::Stream { socket, .. }) => Some(socket.0.try_clone().map_err(spawn)?),
        Some(NetworkDevice::BuiltIn { .. }) | None => None,
    };
    let binary = qemu.binary.canonicalize().map_err(spawn)?;
    // Found out here, where it can be said which file it is.
    for path in [&spec.kernel, &spec.initramfs] {
        open(path, true)?;
    }
    let mut launch = Launch::new(&binary, folder.path(), folder.path().join(PROCESS_RECORD));
    let (kernel, initramfs) = match confine {
        Confine::Yes => {
            launch.confine(confinement(qemu.acceleration, &binary, spec, folder)?);
            (KERNEL.into(), INITRAMFS.into())
        }
        Confine::No => (spec.kernel.clone(), spec.initramfs.clone()),
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
        network: network.map(|socket| launch.pass(socket)),
    };
    launch
        .output(inlets.log)
        .arguments(arguments(spec, qemu.acceleration, &found));
    Ok(launch)
}

fn open(path: &Path, read_only: bool) -> Result<OwnedFd, VmmError> {
    let file = File::options().read(true).write(!read_only).open(path);
    file.map(Into::into).map_err(|source| VmmError::File {
        action: "open",
        path: path.to_owned(),
        source,
    })
}

/// Both processes of a machine; dropped, they are ended.
struct Running {
    process: Started,
    keeper: Started,
}

impl Running {
    async fn start(qemu: &Qemu, launch: Launch, keeper: Keeper) -> Result<Self, VmmError> {
        let process = async {
            launch
                .start()
                .await
                .map_err(|error| cannot_start(&qemu.binary, error))
        };
        match tokio::join!(process, keeper.start()) {
            (Ok(process), Ok(keeper)) => Ok(Self { process, keeper }),
            (Ok(other), Err(error)) | (Err(error), Ok(other)) => {
                end(other).await;
                Err(error)
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Waits until QEMU obeys, or has died.
    async fn until_ready(&self, qemu: &Qemu, folder: &Folder) -> Result<Session, VmmError> {
        let socket = folder.socket(QMP_SOCKET);
        let ended = self.process.handle().wait();
        let error = tokio::select! {
            biased;
            _ = ended => None,
            session = Session::open(&socket) => match session {
                Ok(session) => return Ok(session),
                Err(error) => Some(error),
            },
        };
        // A process that dies closes its socket a moment before it is gone, and its log says more than that.
        let died = tokio::time::timeout(DYING, self.process.handle().wait())
            .await
            .is_ok();
        match error {
            Some(error) if !died => Err(error),
            _ => {
                // The keeper ends when it has read all that QEMU said, and is not waited for if something else holds
                // QEMU's end open.
                let _ = tokio::time::timeout(DYING, self.keeper.handle().wait()).await;
                Err(VmmError::DiedAtStart {
                    binary: qemu.binary.clone(),
                    log: last_lines(&vmm_log(folder.path()).unwrap_or_default(), LINES),
                })
            }
        }
    }
}

/// Ends a process and waits until it is gone.
async fn end(process: Started) {
    match process.handle().kill(Signal::KILL) {
        Ok(()) => drop(process.handle().wait().await),
        Err(error) => tracing::warn!(%error, "cannot end what was started"),
    }
}

/// Removes what stands for a running machine; the logs stay.
fn tidy(folder: &Folder) {
    for name in [AGENT_SOCKET, QMP_SOCKET] {
        if let Err(error) = folder.remove(name) {
            tracing::warn!(%error, "a socket stays behind");
        }
    }
}

fn cannot_start(binary: &Path, error: ProcessError) -> VmmError {
    match error {
        ProcessError::Execute { source, .. } => cannot_execute(binary, source),
        ProcessError::Confine { source, .. } => VmmError::Confine {
            binary: binary.to_owned(),
            source,
        },
        other => cannot_execute(binary, io::Error::other(other)),
    }
}
