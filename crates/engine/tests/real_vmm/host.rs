//! A host with one real VMM, and engines on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{CreateVm, NetworkMode, Vm, VmState};
use config::{Environment, Paths, RegistryMirrors};
use engine::faults::NoFaults;
use engine::{
    CatalogSources, Choice, Defaults, Engine, EngineError, Machines, Networks, Parts, Subnet, Timeouts,
};
use futures::future::BoxFuture;
use guest::Exec;
use guest::frames::{Exit, Frame};
use testkit::Leaks;
use vmm::firecracker::Jailer;
use vmm::qemu::Acceleration;
use vmm::{Backend, Firecracker, Machine, Qemu};

/// Far more than anything here takes, also where two emulated processors serve three guests on a busy host.
const PATIENCE: Duration = Duration::from_secs(300);
/// What an engine keeps when no VM is left.
const KEPT: [&str; 6] = [
    "state/banger/banger.db",
    "state/banger/banger.db-wal",
    "state/banger/banger.db-shm",
    "state/banger/images",
    "state/banger/kernels",
    "cache",
];

/// Which VMM a host has.
#[derive(Clone, Copy, Debug)]
pub enum Vmm {
    Firecracker,
    Qemu,
}

/// A home with a kernel and an image, a VMM, and what guests may reach. What a failed test leaves ends with it.
pub struct Host {
    home: smoke::Home,
    pub paths: Paths,
    pub backend: Arc<dyn Backend>,
    pub open: Vec<Subnet>,
}

impl Host {
    pub fn new(vmm: Vmm) -> Self {
        let home = smoke::Home::new();
        let below = |name: &str| home.path().join(name);
        let environment = Environment::new(rustix::process::geteuid().as_raw())
            .with("XDG_CONFIG_HOME", below("config"))
            .with("XDG_STATE_HOME", below("state"))
            .with("XDG_CACHE_HOME", below("cache"))
            .with("XDG_RUNTIME_DIR", below("run"));
        let paths = Paths::personal(&environment).unwrap();
        paths.prepare().unwrap();
        let backend: Arc<dyn Backend> = match vmm {
            Vmm::Firecracker => Arc::new(firecracker(&home.path().join("jail"))),
            Vmm::Qemu => Arc::new(qemu()),
        };
        Self {
            home,
            paths,
            backend,
            open: Vec::new(),
        }
    }

    /// A folder of the host's.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// What there is now; what an engine keeps for later VMs does not count.
    pub fn leaks(&self) -> Leaks {
        Leaks::snapshot(self.home.path()).ignoring(&KEPT)
    }

    /// One daemon's life on this host: what it runs ends with it, but for its machines.
    pub fn daemon<T>(&self, work: impl AsyncFnOnce(&Engine) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let engine = Engine::open(self.parts()).await.unwrap();
            work(&engine).await
        })
    }

    fn parts(&self) -> Parts {
        let sources = CatalogSources::new(config::RecipeSettings::default(), self.paths.recipes());
        Parts {
            paths: self.paths.clone(),
            agent: smoke::binaries().join("banger-vsock-agent"),
            sources: Arc::new(sources),
            machines: Arc::new(OneVmm(Arc::clone(&self.backend))),
            configured: None,
            faults: Arc::new(NoFaults),
            timeouts: Timeouts {
                ready: PATIENCE,
                shutdown: PATIENCE,
                // Longer than the shutdown: a VMM that the guest's power-off does not end is no shutdown in order.
                last_word: PATIENCE * 2,
                ..Timeouts::default()
            },
            networks: Networks {
                program: Some(bangerd()),
                open: self.open.clone(),
                ..Networks::default()
            },
            ca_certificates: None,
            registry_mirrors: RegistryMirrors::default(),
            free_space_reserve: Some(0),
            defaults: Defaults {
                image: "debian-minimal".into(),
                vcpu: 1,
                memory_mib: 512,
                disk_size: 1 << 30,
                network: NetworkMode::None,
            },
        }
    }
}

/// Keeps logs and serves networks, as the daemon that it is in the field.
fn bangerd() -> PathBuf {
    smoke::binaries().join("bangerd")
}

/// In jails below `jails` if that is asked for.
fn firecracker(jails: &Path) -> Firecracker {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/tools/firecracker/firecracker");
    let binary = std::env::var_os("BANGER_TEST_FIRECRACKER").map_or(fetched, PathBuf::from);
    let version = vmm::firecracker::version(&binary).unwrap();
    let jailed = std::env::var_os("BANGER_TEST_JAILED").is_some();
    let jailer = jailed.then(|| {
        // What stays when no machine is left.
        std::fs::create_dir_all(jails.join("firecracker")).unwrap();
        Jailer::new(binary.with_file_name("jailer"), jails)
    });
    Firecracker::new(binary, version)
        .with_log_keeper(bangerd())
        .with_jailer(jailer)
}

fn qemu() -> Qemu {
    let acceleration = match std::env::var_os("BANGER_TEST_QEMU_KVM") {
        Some(_) => Acceleration::Kvm,
        None => Acceleration::Tcg,
    };
    Qemu::new("/usr/bin/qemu-system-x86_64", acceleration).with_log_keeper(bangerd())
}

#[derive(Debug)]
struct OneVmm(Arc<dyn Backend>);

impl Machines for OneVmm {
    fn choose(&self) -> Result<Choice, EngineError> {
        Ok(Choice {
            backend: Arc::clone(&self.0),
            reason: String::new(),
        })
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, EngineError>> {
        Box::pin(async move { Ok(vmm::find(folder).await?) })
    }
}

/// Creates and starts the VM `a`.
pub async fn run(engine: &Engine, request: CreateVm) -> Vm {
    let request = CreateVm {
        name: Some("a".into()),
        start: true,
        ..request
    };
    let operation = engine.vms().create(request).await.unwrap();
    operation.wait().await.unwrap().unwrap()
}

/// Deletes it.
pub async fn delete(engine: &Engine) {
    engine.vms().delete("a").await.unwrap().wait().await.unwrap();
}

/// Waits until it is as it should be.
pub async fn becomes(engine: &Engine, what: &str, is: impl Fn(&Vm) -> bool) -> Vm {
    let waiting = async {
        loop {
            let vm = engine.vms().show("a").await.unwrap();
            if is(&vm) {
                return vm;
            }
            assert_ne!(vm.state, VmState::Error, "{:?}", vm.reason);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, waiting).await;
    came.unwrap_or_else(|_| panic!("{what} does not come"))
}

/// A shell's script, as a command of a guest's.
pub fn script(text: &str) -> Exec {
    Exec {
        argv: ["sh", "-c", text].map(str::to_owned).to_vec(),
        ..Exec::default()
    }
}

/// What a script prints in the VM, and how it ends.
pub async fn output(engine: &Engine, text: &str) -> (String, Exit) {
    let mut stream = engine.vms().exec("a", &script(text)).await.unwrap();
    let reading = async {
        let mut output = Vec::new();
        loop {
            match Frame::read(&mut stream).await.unwrap() {
                Some(Frame::Stdout(bytes)) => output.extend(bytes),
                Some(Frame::Exit(exit)) => return (String::from_utf8(output).unwrap(), exit),
                Some(_) => {}
                None => panic!("`{text}` ends without a code"),
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    ended.unwrap_or_else(|_| panic!("`{text}` does not end"))
}
