//! A daemon in this process, over simulated machines: everything but the hypervisor is real.

#[path = "../../../engine/tests/support/sources.rs"]
#[expect(dead_code, reason = "the engine's tests use more of it")]
mod sources;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::client::{Action, Client};
use api::{CreateVm, NetworkMode, Vm};
use bangerd::{Daemon, DaemonError, Surroundings};
use config::{Environment, Paths};
use engine::faults::NoFaults;
use engine::{Choice, Defaults, EngineError, Machines, Timeouts};
use futures::future::BoxFuture;
use sources::SimulatedSources;
use testkit::SimulatedBackend;
use tokio::task::JoinHandle;
use vmm::{Backend, Machine};

/// The daemon and a client of it. A test deletes the VMs that it makes.
pub struct Simulated {
    pub client: Client,
    daemon: JoinHandle<Result<(), DaemonError>>,
    _root: tempfile::TempDir,
}

impl Simulated {
    pub async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let environment = ["CONFIG_HOME", "STATE_HOME", "CACHE_HOME", "RUNTIME_DIR"]
            .into_iter()
            .fold(Environment::new(uid), |environment, name| {
                environment.with(&format!("XDG_{name}"), root.path().join(name))
            });
        let paths = Paths::personal(&environment).unwrap();
        paths.prepare().unwrap();
        let agent = root.path().join("agent");
        std::fs::write(&agent, "an agent").unwrap();
        let socket = paths.socket();
        let surroundings = Surroundings {
            paths,
            agent,
            sources: Arc::new(SimulatedSources::default()),
            machines: Arc::new(SimulatedMachines(SimulatedBackend::new())),
            faults: Arc::new(NoFaults),
            timeouts: Timeouts::default(),
            passt: None,
            ca_certificates: None,
            defaults: Defaults {
                image: "debian".into(),
                vcpu: 1,
                memory_mib: 128,
                disk_size: 256 << 20,
                network: NetworkMode::None,
            },
            idle_timeout: Duration::from_secs(600),
            uid,
        };
        let daemon = tokio::spawn(Daemon::run(surroundings, false));
        let client = Client::new(socket);
        while client.version().await.is_err() {
            assert!(!daemon.is_finished(), "{:?}", daemon.await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self {
            client,
            daemon,
            _root: root,
        }
    }

    /// Carries an action out.
    pub async fn carry_out(&self, action: Action) -> Result<Option<Vm>, api::ApiError> {
        let mut events = self.client.lease(&action).await.unwrap();
        while let Some(event) = events.next().await.unwrap() {
            match event {
                api::Event::Succeeded { vm } => return Ok(vm.map(|vm| *vm)),
                api::Event::Failed { error } => return Err(error),
                _ => {}
            }
        }
        panic!("the operation was cancelled");
    }

    /// Makes a VM and starts it.
    pub async fn run(&self, name: &str) -> Vm {
        let create = CreateVm {
            name: Some(name.into()),
            start: true,
            ..CreateVm::default()
        };
        let made = self.carry_out(Action::Create(Box::new(create))).await;
        made.unwrap().unwrap()
    }

    pub async fn delete(&self, name: &str) {
        self.carry_out(Action::Delete(name.into())).await.unwrap();
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.daemon.abort();
    }
}

#[derive(Debug)]
struct SimulatedMachines(SimulatedBackend);

impl Machines for SimulatedMachines {
    fn choose(&self) -> Result<Choice, EngineError> {
        Ok(Choice {
            backend: Arc::new(self.0.clone()),
            reason: String::new(),
        })
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, EngineError>> {
        Box::pin(async move { Ok(self.0.find(folder).await?) })
    }
}
