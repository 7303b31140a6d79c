//! Starting Firecracker: it is told of the machine piece by piece, and ready when it has answered the start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use process::Launch;

use super::api::Api;
use super::confine::confinement;
use super::features::Feature;
use super::machine::{FirecrackerMachine, remove_traces};
use super::requests::{
    Action, Balloon, BootSource, Entropy, GUEST_CARD, MachineConfig, NetworkInterface, NewDrive, Vsock,
};
use super::world::{self, API, LOG, METRICS, in_folder};
use super::{Firecracker, Version, snapshot};
use crate::groups::{self, Share};
use crate::limits::{Counted, limit_firecracker};
use crate::logs::Keeper;
use crate::processes::{PROCESS_RECORD, Processes, Starting, cannot_execute, open};
use crate::qemu::refusal;
use crate::{Confine, Folder, Machine, MachineSpec, NetworkDevice, VmmError};

/// How to speak to it, and how it speaks.
const ARGUMENTS: [&str; 9] = [
    "--api-sock",
    API,
    "--log-path",
    LOG,
    "--metrics-path",
    METRICS,
    "--level",
    "Warning",
    "--show-level",
];

/// What stands between Firecracker and the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walls {
    /// A jail of the jailer's.
    Jail,
    /// Ours.
    Confinement,
    /// Its seccomp filters alone.
    None,
}

/// Starts the machine, or goes on from a snapshot.
pub(super) async fn start(
    firecracker: &Firecracker,
    spec: &MachineSpec,
    snapshot: Option<&Path>,
) -> Result<Arc<dyn Machine>, VmmError> {
    if let Some(NetworkDevice::BuiltIn { .. }) = spec.network {
        return Err(VmmError::Unsupported {
            vmm: firecracker.name.clone(),
            what: "networks of its own",
        });
    }
    let folder = Folder::open(&spec.folder)?;
    folder.close_to_others()?;
    let walls = if firecracker.jailer.is_some() {
        Walls::Jail
    } else {
        Walls::Confinement
    };
    let mut started = run(firecracker, spec, snapshot, &folder, walls).await;
    let needs_confinement = firecracker.confine == Confine::Required || spec.network.is_some();
    if let (Err(VmmError::Confine { source, .. }), false) = (&started, needs_confinement)
        && refusal().is_some()
    {
        let reason = source.reason();
        tracing::warn!(
            vm = spec.id,
            reason,
            "this host lets no process be confined: Firecracker runs with all rights of its user"
        );
        started = run(firecracker, spec, snapshot, &folder, Walls::None).await;
    }
    let processes = started.inspect_err(|_| {
        if let Err(error) = remove_traces(&folder) {
            tracing::warn!(%error, "what a start made stays behind");
        }
    })?;
    Ok(Arc::new(FirecrackerMachine::new(folder, processes)))
}

async fn run(
    firecracker: &Firecracker,
    spec: &MachineSpec,
    snapshot: Option<&Path>,
    folder: &Folder,
    walls: Walls,
) -> Result<Processes, VmmError> {
    let mut parts = world::parts(spec);
    if let Some(snapshot) = snapshot {
        parts.extend(snapshot::parts(snapshot));
    }
    // Found out here, where it can be said which file it is.
    for (_, path, read_only) in &parts {
        open(path, *read_only)?;
    }
    let binary = canonical(&firecracker.binary)?;
    let wire = match &spec.network {
        Some(device) => device.wire()?,
        None => None,
    };
    let (name, record) = (identifier(&spec.id), folder.path().join(PROCESS_RECORD));
    // In a jail, the jailer makes one.
    let group = match walls {
        Walls::Jail => None,
        Walls::Confinement | Walls::None => groups::make(folder, spec, Share::of_firecracker(spec)).await,
    };
    let (mut launch, jail) = match (&firecracker.jailer, walls) {
        (Some(jailer), Walls::Jail) => {
            let jail = jailer.make(&binary, &name, &parts, folder)?;
            (jailer.launch(&jail, &binary, &name, spec, record), Some(jail))
        }
        (_, walls) => {
            let mut launch = Launch::new(&binary, world::make(folder, &parts)?, record);
            launch.arguments(["--id", &name]);
            let counted = if walls == Walls::Confinement {
                launch.confine(confinement(&binary, spec, &parts, folder)?);
                Counted::Apart
            } else {
                Counted::WithUser
            };
            limit_firecracker(&mut launch, spec, counted);
            (launch, None)
        }
    };
    if let Some(group) = group {
        launch.group(group);
    }
    if let Some(wire) = wire {
        launch.wire(match &jail {
            // The jailer changes the user by itself.
            Some(jail) => wire.owned_by(jail.user()),
            None => wire,
        });
    }
    let (log_end, log) = folder.make_pipe(&in_folder(LOG))?;
    // Firecracker opens this one itself; the keeper would take a pipe without a writer for one that has ended.
    let (metrics_end, metrics) = folder.make_pipe(&in_folder(METRICS))?;
    if let Some(jail) = jail {
        jail.give(LOG)?;
        jail.give(METRICS)?;
    }
    let (keeper, console) =
        Keeper::prepare_with(&firecracker.log_keeper, folder, vec![log_end, metrics_end])?;
    // It prints the guest's console, and tells of itself where it is told to; of a panic, on its standard error.
    launch.output(console).errors(log).arguments(ARGUMENTS);
    let starting = Starting::start(&firecracker.binary, launch, keeper).await?;
    let socket = folder.socket(&in_folder(API));
    let ready = async move {
        // Until here, or until it has ended before.
        let _metrics = metrics;
        let mut api = Api::open(&socket).await?;
        match snapshot {
            Some(_) => snapshot::load(&mut api).await,
            None => boot(firecracker.version, spec, &mut api).await,
        }
    };
    let (processes, ()) = starting.until(folder, ready).await?;
    Ok(processes)
}

/// Tells of the machine, then starts it.
pub(super) async fn boot(version: Version, spec: &MachineSpec, api: &mut Api) -> Result<(), VmmError> {
    api.put("/machine-config", &MachineConfig::of(spec)).await?;
    api.put("/boot-source", &BootSource::of(spec)).await?;
    for (number, drive) in spec.drives.iter().enumerate() {
        let path = format!("/drives/{}", world::drive(number));
        api.put(&path, &NewDrive::of(number, drive)).await?;
    }
    api.put("/vsock", &Vsock::AGENT).await?;
    api.put("/entropy", &Entropy {}).await?;
    if let Some(device) = &spec.network {
        let path = format!("/network-interfaces/{GUEST_CARD}");
        api.put(&path, &NetworkInterface::of(device)).await?;
    }
    if version.has(Feature::PageReporting) {
        api.put("/balloon", &Balloon::REPORTING).await?;
    }
    api.put("/actions", &Action::START).await
}

fn canonical(binary: &Path) -> Result<PathBuf, VmmError> {
    binary
        .canonicalize()
        .map_err(|source| cannot_execute(binary, source))
}

/// For `ps`. Firecracker takes letters, digits and hyphens, 64 at most.
fn identifier(id: &str) -> String {
    let plain = id.chars().map(|character| {
        if character.is_ascii_alphanumeric() {
            character
        } else {
            '-'
        }
    });
    plain.take(64).collect()
}
