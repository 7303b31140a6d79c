//! `banger vm forward`: ports of a guest on this host, for as long as the command runs.

use std::sync::{Arc, Mutex, PoisonError};

use api::client::{Client, ClientError, ExecStream};
use api::{ErrorCode, PortForward, PortUse};
use guest::Forward;
use guest::forward::{Bound, Slots};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cli::ForwardArgs;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;
use crate::terminal::{Signals, exit_code};

/// Binds the ports, says which, and carries what comes until it is told to end.
///
/// # Errors
/// A port cannot be bound, the VM does not run or has stopped, or the user ended it.
pub async fn forward(place: &Place, args: &ForwardArgs) -> Result<u8, Failure> {
    let mut signals = Signals::ending()?;
    let client = place.connect().await?;
    let vm = client.vm(&args.vm.reference).await?;
    if vm.state != api::VmState::Running {
        return Err(Failure::new(format!(
            "cannot forward ports of `{}`: it is {}",
            vm.name, vm.state
        ))
        .with_hint(format!("start it first: banger vm start {}", vm.name)));
    }
    let (ports, sockets): (Vec<PortForward>, Vec<Vec<Bound>>) = bind(&args.ports).await?.into_iter().unzip();
    let (failed, mut failures) = mpsc::channel(16);
    let door = Arc::new(Door {
        client: Mutex::new(client),
        vm: vm.id.clone(),
        failed,
    });
    raise_open_files();
    let slots = Slots::of_process().for_vm(&vm.id, &vm.name);
    let mut carried = JoinSet::new();
    let sockets = ports.iter().zip(sockets);
    for (port, socket) in sockets.flat_map(|(port, sockets)| sockets.into_iter().map(move |one| (port, one)))
    {
        let (door, wanted, slots) = (Arc::clone(&door), wanted(port), slots.clone());
        carried.spawn(socket.carry(slots, move || Arc::clone(&door).open(wanted)));
    }
    if args.output.json {
        render::json(&ports)?;
    } else {
        let lines: String = ports.iter().map(|port| format!("{port}\n")).collect();
        render::output(&lines)?;
    }
    let mut said = String::new();
    loop {
        let error = tokio::select! {
            Some(error) = failures.recv() => error,
            signal = signals.next() => return Err(Failure::quiet(exit_code(signal))),
        };
        match &error {
            ClientError::Api(error) if matches!(error.code, ErrorCode::VmState | ErrorCode::VmNotFound) => {
                return Err(error.clone().into());
            }
            // VMs outlive their daemon, and so do their ports.
            ClientError::Unreachable { .. } | ClientError::Broke(_) => {
                let client = place.connect().await?;
                *door.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
            }
            error => {
                let message = error.to_string();
                if message != said {
                    render::warning(&message);
                    said = message;
                }
            }
        }
    }
}

/// A connection takes two descriptors.
fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: now.maximum,
        ..now
    };
    // On failure there are fewer slots.
    let _ = setrlimit(Resource::Nofile, all);
}

/// All of them, or none.
async fn bind(ports: &[PortForward]) -> Result<Vec<(PortForward, Vec<Bound>)>, Failure> {
    let mut bound = Vec::with_capacity(ports.len());
    for port in ports {
        let sockets = Bound::bind_all(port.protocol, &port.endpoints());
        let (host, sockets) = sockets.map_err(|(at, error)| {
            let refusal = port.refusal(PortUse::Forward, at.ip(), &error);
            let failure = Failure::new(refusal.message);
            match refusal.hint {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            }
        })?;
        bound.push((PortForward { host, ..*port }, sockets));
    }
    Ok(bound)
}

fn wanted(port: &PortForward) -> Forward {
    Forward {
        protocol: port.protocol,
        host: None,
        port: port.guest,
    }
}

/// The way into the VM.
struct Door {
    client: Mutex<Client>,
    vm: String,
    failed: mpsc::Sender<ClientError>,
}

impl Door {
    async fn open(self: Arc<Self>, wanted: Forward) -> Option<impl ExecStream> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match client.forward(&self.vm, &wanted).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                let _ = self.failed.send(error).await;
                None
            }
        }
    }
}
