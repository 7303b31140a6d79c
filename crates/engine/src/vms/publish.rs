//! Ports of the host that lead into a VM: had before the VM is made or started, and kept for as long as it runs.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{HostAddress, PortForward, PortUse, Refusal};
use guest::forward::{Bound, VmSlots};
use guest::{AgentStream, Forward};
use store::{PublishedPort, VmRow};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::link::LinkState;
use super::{AGENT, Shared};
use crate::EngineError;
use crate::error::one_line;

/// How long a port that is taken may take to be free. One that was just given up is free a moment later where this
/// process is forking for another VM: the child has a copy of each socket until it closes what is not its own.
const GIVEN_UP: Duration = Duration::from_millis(200);
/// Rest between two tries of such a port.
const SOON: Duration = Duration::from_millis(5);

/// Rest between two tries to get a port back that was the VM's before the daemon was started again.
const RETRY: Duration = Duration::from_secs(1);

/// Ports that are bound; what comes to them waits.
#[derive(Debug)]
pub(crate) struct Claimed(Vec<(PortForward, Vec<Bound>)>);

impl Claimed {
    /// Binds all of them, or none.
    async fn claim(ports: &[PortForward]) -> Result<Self, Taken> {
        let mut claimed = Vec::with_capacity(ports.len());
        for port in ports {
            let bound = bind_soon(port).await;
            claimed.push(bound.map_err(|(at, source)| Taken {
                port: *port,
                at: at.ip(),
                source,
            })?);
        }
        Ok(Self(claimed))
    }

    /// What is bound, with real ports where any would do.
    pub(crate) fn ports(&self) -> Vec<PortForward> {
        self.0.iter().map(|(port, _)| *port).collect()
    }

    /// Begins to carry what has come and will come.
    pub(crate) fn serve(self, vm: &str, slots: &VmSlots, link: &watch::Receiver<LinkState>) -> Published {
        let mut published = Published(JoinSet::new());
        for (port, bound) in self.0 {
            for bound in bound {
                published
                    .0
                    .spawn(carry(port, bound, vm.to_owned(), slots.clone(), link.clone()));
            }
        }
        published
    }
}

/// A port that cannot be had.
struct Taken {
    port: PortForward,
    /// One of its addresses.
    at: IpAddr,
    source: io::Error,
}

impl Taken {
    fn refusal(&self) -> Refusal {
        self.port.refusal(PortUse::Publish, self.at, &self.source)
    }
}

impl Shared {
    /// Binds the ports of a VM that is about to be made.
    pub(crate) async fn claim_for_new(&self, row: &VmRow) -> Result<Claimed, EngineError> {
        match Claimed::claim(&of_row(&row.publish)).await {
            Ok(claimed) => Ok(claimed),
            Err(taken) => {
                let refusal = taken.refusal();
                let message = match self.holder(&taken, &row.id).await {
                    Some(holder) => had_by(&taken.port, &holder),
                    None => refusal.message,
                };
                Err(EngineError::PortUnavailable {
                    message,
                    hint: refusal.hint,
                })
            }
        }
    }

    /// Binds the ports of a VM that is there and about to start: it has no others to choose from.
    pub(crate) async fn claim_for_start(&self, row: &VmRow) -> Result<Claimed, EngineError> {
        match Claimed::claim(&of_row(&row.publish)).await {
            Ok(claimed) => Ok(claimed),
            Err(taken) => Err(match self.holder(&taken, &row.id).await {
                Some(holder) => EngineError::PortUnavailable {
                    message: had_by(&taken.port, &holder),
                    hint: Some(format!("stop that one first: banger vm stop {holder}")),
                },
                None => EngineError::PortUnavailable {
                    message: taken.refusal().message,
                    hint: (taken.source.kind() == io::ErrorKind::AddrInUse)
                        .then(|| format!("see who has it: ss -lntup 'sport = :{}'", taken.port.host)),
                },
            }),
        }
    }

    /// The VM, other than `id`, that has a port that is taken.
    async fn holder(&self, taken: &Taken, id: &str) -> Option<String> {
        if taken.source.kind() != io::ErrorKind::AddrInUse {
            return None;
        }
        let rows = self.store.vms().list().await.ok()?;
        let clashes = |row: &VmRow| {
            of_row(&row.publish)
                .iter()
                .any(|port| port.clashes_with(&taken.port))
        };
        let holds = |row: &VmRow| {
            self.tasks().get(&row.id).is_some_and(|task| {
                let live = task.live.borrow();
                live.pid.is_some() || live.current.is_some()
            })
        };
        let mut rows = rows.into_iter();
        let row = rows.find(|row| row.id != id && clashes(row) && holds(row))?;
        Some(row.name)
    }
}

fn had_by(port: &PortForward, holder: &str) -> String {
    format!("cannot publish port {}: VM `{holder}` has it", port.host)
}

/// Ports that lead into a running VM; dropping it releases them soon, [`Published::release`] at once.
#[derive(Debug)]
pub(crate) struct Published(JoinSet<()>);

impl Published {
    /// Takes up the ports of a VM that an earlier daemon has left running. One that somebody else has taken meanwhile
    /// is waited for.
    pub(crate) fn take_up(
        ports: Vec<PortForward>,
        vm: &str,
        slots: &VmSlots,
        link: &watch::Receiver<LinkState>,
    ) -> Self {
        let mut published = Self(JoinSet::new());
        let endpoints = ports
            .into_iter()
            .flat_map(|port| port.endpoints().into_iter().map(move |endpoint| (port, endpoint)));
        for (port, endpoint) in endpoints {
            let (vm, slots, link) = (vm.to_owned(), slots.clone(), link.clone());
            published.0.spawn(async move {
                if let Some(bound) = bind_when_free(&port, endpoint, &vm).await {
                    carry(port, bound, vm, slots, link).await;
                }
            });
        }
        published
    }

    /// Releases the ports; they are free when this returns.
    pub(crate) async fn release(mut self) {
        self.0.shutdown().await;
    }
}

async fn bind_soon(port: &PortForward) -> Result<(PortForward, Vec<Bound>), (SocketAddr, io::Error)> {
    let since = Instant::now();
    loop {
        match Bound::bind_all(port.protocol, &port.endpoints()) {
            Ok((host, bound)) => return Ok((PortForward { host, ..*port }, bound)),
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse && since.elapsed() < GIVEN_UP => {
                tokio::time::sleep(SOON).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// One of a port's endpoints; `None` where it is of `localhost` and the host has no such address.
async fn bind_when_free(port: &PortForward, endpoint: SocketAddr, vm: &str) -> Option<Bound> {
    let mut told = false;
    loop {
        match Bound::bind(port.protocol, endpoint) {
            Ok(bound) => return Some(bound),
            Err(error) if port.address == HostAddress::Localhost && guest::forward::is_no_address(&error) => {
                return None;
            }
            Err(error) if !told => {
                tracing::warn!(vm, %port, %endpoint, %error, "a published port is not to be had; trying on");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn carry(
    port: PortForward,
    bound: Bound,
    vm: String,
    slots: VmSlots,
    link: watch::Receiver<LinkState>,
) {
    let wanted = Forward {
        protocol: port.protocol,
        host: None,
        port: port.guest,
    };
    bound
        .carry(slots, move || open(vm.clone(), link.clone(), wanted))
        .await;
}

/// A connection to the guest's port, as soon as its agent is there.
async fn open(vm: String, mut link: watch::Receiver<LinkState>, wanted: Forward) -> Option<AgentStream> {
    let linked = tokio::time::timeout(AGENT, link.wait_for(|state| state.agent.is_some()));
    let (agent, clock) = {
        let state = linked.await.ok()?.ok()?;
        (state.agent.clone()?, Arc::clone(&state.clock))
    };
    clock.see_to(&vm, &agent).await;
    match agent.forward(&wanted).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(vm, port = wanted.port, error = %one_line(&error), "a published port led nowhere");
            None
        }
    }
}

/// The ports of a row.
pub(crate) fn of_row(ports: &[PublishedPort]) -> Vec<PortForward> {
    let forward = |port: &PublishedPort| PortForward {
        protocol: if port.udp {
            guest::Protocol::Udp
        } else {
            guest::Protocol::Tcp
        },
        address: port.address.map_or(HostAddress::Localhost, HostAddress::One),
        host: port.host,
        guest: port.guest,
    };
    ports.iter().map(forward).collect()
}

/// As a row keeps them.
pub(crate) fn to_row(ports: &[PortForward]) -> Vec<PublishedPort> {
    let published = |port: &PortForward| PublishedPort {
        udp: port.protocol == guest::Protocol::Udp,
        address: match port.address {
            HostAddress::Localhost => None,
            HostAddress::One(address) => Some(address),
        },
        host: port.host,
        guest: port.guest,
    };
    ports.iter().map(published).collect()
}
