//! An engine over simulated machines, in a state directory of its own.
#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

pub mod published;
pub mod registry;
mod sources;
pub mod writes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::{CreateVm, NetworkMode, Vm, VmState};
use config::{Environment, Paths, RegistryMirrors};
use engine::faults::Faults;
use engine::{
    Choice, Configured, Defaults, Doctor, Engine, EngineError, Machines, Networks, Parts, Sources, Timeouts,
};
use futures::future::BoxFuture;
use testkit::{Leaks, Points, SimulatedBackend};
use vmm::{Backend, Machine};

pub use sources::SimulatedSources;

/// What an engine keeps when no VM is left.
const KEPT: [&str; 6] = [
    "state/banger/banger.db",
    "state/banger/banger.db-wal",
    "state/banger/banger.db-shm",
    "state/banger/images",
    "state/banger/kernels",
    "cache",
];

/// One host: a state directory, its machines, its sources, its fault points.
pub struct Host {
    root: PathBuf,
    owned: Option<tempfile::TempDir>,
    pub paths: Paths,
    pub backend: SimulatedBackend,
    pub sources: Arc<SimulatedSources>,
    pub points: Points,
    pub writes: writes::Writes,
    /// Whether no machine can be looked for, as where their records cannot be read.
    pub blind: Arc<AtomicBool>,
    pub timeouts: Timeouts,
    pub mirrors: RegistryMirrors,
    pub networks: Networks,
    pub configured: Option<Arc<dyn Configured>>,
    /// Of disks that others use, too.
    pub free_space_reserve: Option<u64>,
}

impl Host {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let mut host = Self::at(&root);
        host.owned = Some(folder);
        host
    }

    /// One whose directory somebody else owns: the same for several engines, one after the other.
    pub fn at(root: &Path) -> Self {
        let environment = Environment::new(rustix::process::geteuid().as_raw())
            .with("XDG_CONFIG_HOME", root.join("config"))
            .with("XDG_STATE_HOME", root.join("state"))
            .with("XDG_CACHE_HOME", root.join("cache"))
            .with("XDG_RUNTIME_DIR", root.join("run"));
        let paths = Paths::personal(&environment).unwrap();
        paths.prepare().unwrap();
        std::fs::write(root.join("agent"), "an agent").unwrap();
        Self {
            root: root.to_owned(),
            owned: None,
            paths,
            backend: SimulatedBackend::new(),
            sources: Arc::new(SimulatedSources::default()),
            points: Points::new(),
            writes: writes::Writes::default(),
            blind: Arc::default(),
            timeouts: Timeouts::default(),
            mirrors: RegistryMirrors::default(),
            networks: Networks::default(),
            configured: None,
            free_space_reserve: Some(0),
        }
    }

    pub async fn engine(&self) -> Engine {
        self.engine_with(Arc::clone(&self.sources) as _).await
    }

    /// One whose kernels and images come from elsewhere.
    pub async fn engine_with(&self, sources: Arc<dyn Sources>) -> Engine {
        Engine::open(Parts {
            paths: self.paths.clone(),
            agent: self.root.join("agent"),
            sources,
            machines: Arc::new(SimulatedMachines(self.backend.clone(), Arc::clone(&self.blind))),
            faults: Arc::new(TestFaults(self.points.clone(), self.writes.clone())),
            timeouts: self.timeouts,
            networks: self.networks.clone(),
            configured: self.configured.clone(),
            ca_certificates: None,
            registry_mirrors: self.mirrors.clone(),
            free_space_reserve: self.free_space_reserve,
            defaults: Defaults {
                image: "debian".into(),
                vcpu: 1,
                memory_mib: 128,
                disk_size: 256 << 20,
                network: NetworkMode::None,
            },
        })
        .await
        .unwrap()
    }

    /// The report on this host.
    pub fn doctor(&self) -> Doctor {
        Doctor {
            paths: self.paths.clone(),
            agent: self.root.join("agent"),
            machines: Arc::new(SimulatedMachines(self.backend.clone(), Arc::clone(&self.blind))),
            networks: self.networks.clone(),
            configured: None,
            default_image: "debian".into(),
        }
    }

    /// As an update does.
    pub fn change_agent(&self) {
        std::fs::write(self.root.join("agent"), "another agent").unwrap();
    }

    /// What there is now; what an engine keeps for later VMs does not count.
    pub fn leaks(&self) -> Leaks {
        Leaks::snapshot(&self.root).ignoring(&KEPT)
    }
}

impl Drop for Host {
    /// Machines outlive engines, and a test that fails does not delete them.
    fn drop(&mut self) {
        if self.owned.is_some() {
            testkit::end_processes_of(&self.root);
        }
    }
}

/// A VM of that name; started if asked.
pub fn vm(name: &str, start: bool) -> CreateVm {
    CreateVm {
        name: Some(name.into()),
        start,
        ..CreateVm::default()
    }
}

/// One daemon's life on a host: what it runs ends with it, but for its machines.
pub fn daemon<T>(host: &Host, work: impl AsyncFnOnce(&Engine) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine = host.engine().await;
        work(&engine).await
    })
}

/// Creates and starts a VM.
pub async fn run(engine: &Engine, name: &str) -> Vm {
    engine
        .vms()
        .create(vm(name, true))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap()
}

/// Deletes a VM.
pub async fn delete(engine: &Engine, name: &str) {
    engine.vms().delete(name).await.unwrap().wait().await.unwrap();
}

/// Waits until a VM is in that state.
pub async fn becomes(engine: &Engine, name: &str, state: VmState) -> Vm {
    let waiting = async {
        loop {
            let vm = engine.vms().show(name).await.unwrap();
            if vm.state == state {
                return vm;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .expect("the state comes within 30 s")
}

#[derive(Debug)]
pub struct SimulatedMachines(pub SimulatedBackend, pub Arc<AtomicBool>);

impl Machines for SimulatedMachines {
    fn choose(&self) -> Result<Choice, EngineError> {
        Ok(Choice {
            backend: Arc::new(self.0.clone()),
            reason: String::new(),
        })
    }

    fn choose_again(&self, before: &str) -> Result<Choice, EngineError> {
        Ok(Choice {
            reason: format!("it had {before} before"),
            ..self.choose()?
        })
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, EngineError>> {
        Box::pin(async move {
            if self.1.load(Ordering::SeqCst) {
                return Err(EngineError::Internal("nothing can be found".into()));
            }
            Ok(self.0.find(folder).await?)
        })
    }
}

#[derive(Debug)]
struct TestFaults(Points, writes::Writes);

impl Faults for TestFaults {
    fn hit<'a>(&'a self, point: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.0.hit(point).await.map_err(|injected| injected.to_string()) })
    }

    fn fails_write(&self, what: &'static str) -> bool {
        self.1.fails(what)
    }
}
