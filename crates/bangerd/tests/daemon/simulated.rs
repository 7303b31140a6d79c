//! A daemon in this process, over simulated machines: everything but the hypervisor is real.

#[path = "../../../engine/tests/support/sources.rs"]
#[expect(dead_code, reason = "the engine's tests use more of it")]
mod sources;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use api::client::{Action, Client, ClientError};
use api::{CreateVm, NetworkMode, Vm};
use bangerd::{Daemon, DaemonError, Surroundings};
use config::{Environment, Paths};
use engine::faults::Faults;
use engine::{Choice, Defaults, EngineError, Machines, Timeouts};
use futures::future::BoxFuture;
use sources::SimulatedSources;
use testkit::{Leaks, Points, SimulatedBackend};
use tokio::task::JoinHandle;
use vmm::{Backend, Machine};

/// The daemon and a client of it. A test deletes the VMs that it makes.
pub struct Simulated {
    pub client: Client,
    pub points: Points,
    daemon: JoinHandle<Result<(), DaemonError>>,
    root: tempfile::TempDir,
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
        let points = Points::new();
        let surroundings = Surroundings {
            paths,
            agent,
            sources: Arc::new(SimulatedSources::default()),
            machines: Arc::new(SimulatedMachines(SimulatedBackend::new())),
            faults: Arc::new(TestFaults(points.clone())),
            timeouts: Timeouts::default(),
            networks: engine::Networks::default(),
            configured: None,
            ca_certificates: None,
            registry_mirrors: config::RegistryMirrors::default(),
            free_space_reserve: Some(0),
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
            points,
            daemon,
            root,
        }
    }

    /// Carries an action out.
    pub async fn carry_out(&self, action: Action) -> Result<Option<Vm>, api::ApiError> {
        let mut events = match self.client.lease(&action).await {
            Ok(events) => events,
            Err(ClientError::Api(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        };
        while let Some(event) = events.next().await.unwrap() {
            match event {
                api::Event::Succeeded { vm } => return Ok(vm.map(|vm| *vm)),
                api::Event::Failed { error } => return Err(error),
                _ => {}
            }
        }
        panic!("the operation was cancelled");
    }

    /// A folder that goes with this value.
    pub fn folder(&self) -> &Path {
        self.root.path()
    }

    /// What there is now; what a daemon keeps for later VMs does not count.
    pub fn leaks(&self) -> Leaks {
        let kept = [
            "banger.db",
            "banger.db-wal",
            "banger.db-shm",
            "images",
            "kernels",
            "bangerd.log",
        ];
        let kept = kept.map(|name| format!("STATE_HOME/banger/{name}"));
        let mut kept: Vec<&str> = kept.iter().map(String::as_str).collect();
        kept.push("CACHE_HOME");
        Leaks::snapshot(self.folder()).ignoring(&kept)
    }

    /// `banger`, as a user of this daemon calls it.
    pub fn banger(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(banger());
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder())
            .env("BANGER_SOCKET", self.client.socket())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
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
        // Machines of a test that failed.
        testkit::end_processes_of(self.folder());
    }
}

/// The command line, beside the daemon.
fn banger() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_bangerd")).with_file_name("banger");
    let built = std::env::var_os("BANGER_TEST_BIN").map(|folder| PathBuf::from(folder).join("banger"));
    let banger = built.unwrap_or(own);
    assert!(banger.exists(), "no {}: make build", banger.display());
    banger
}

#[derive(Debug)]
struct TestFaults(Points);

impl Faults for TestFaults {
    fn hit<'a>(&'a self, point: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.0.hit(point).await.map_err(|injected| injected.to_string()) })
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
