//! A daemon over simulated machines, for tests that kill it: it is `bangerd` in all but what it runs VMs on.
//!
//! Steps of starts fail, machines misbehave and the daemon itself dies, each by chance; or nothing goes wrong but what a
//! test asks for, machine by machine.

#[path = "../../engine/tests/support/sources.rs"]
#[expect(dead_code, reason = "the engine's tests use more of it")]
mod sources;

#[path = "support/published.rs"]
mod published;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::NetworkMode;
use bangerd::{Daemon, DaemonError, Surroundings, start_logging};
use config::{Config, Environment, Paths};
use engine::faults::Faults;
use engine::{Choice, Defaults, EngineError, Machines, Sources, Timeouts};
use futures::future::BoxFuture;
use published::PublishedSources;
use sources::SimulatedSources;
use testkit::{Dice, Lie, MachineFaults, SimulatedBackend};
use vmm::{Backend, Machine, MachineSpec, VmmError};

/// What the simulated machines are.
const MACHINE: &str = "SIMULATED_VMM";
/// What chance goes by.
const SEED: &str = "SIMULATED_SEED";
/// A folder whose `faults.json` is what the machines do wrong that start, where nothing is left to chance; one that a
/// folder below it is named after goes by that one's.
const FAULTS: &str = "SIMULATED_FAULTS";
/// Set where the daemon itself may die.
const MORTAL: &str = "SIMULATED_MORTAL";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bangerd: {}", error.one_line());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), DaemonError> {
    let environment = Environment::of_process();
    let paths = Paths::personal(&environment)?;
    paths.prepare()?;
    // Who serves images and kernels is the test's to say, as a user does.
    let config = Config::load(&paths.config_file(), &environment)?;
    start_logging("info", &paths.daemon_log(), true)?;
    let agent = paths.state().join("agent");
    // Never emptied: another daemon of the same folder may read it at this moment.
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&agent);
    file.and_then(|mut file| file.write_all(b"an agent"))
        .map_err(DaemonError::Announce)?;
    let faults = std::env::var_os(FAULTS).map(PathBuf::from);
    let calm = faults.is_some();
    let seed = match calm {
        true => 0,
        false => variable(SEED).parse().expect("the test gives a seed"),
    };
    let dice = Arc::new(Mutex::new(Dice::of(seed, std::process::id().into())));
    let machines = UnreliableBackend {
        machines: SimulatedBackend::with_binary(PathBuf::from(variable(MACHINE))),
        dice: Arc::clone(&dice),
        faults,
    };
    let sources: Arc<dyn Sources> = match config.catalog_url {
        Some(url) => Arc::new(PublishedSources::new(url, paths.recipes())),
        None => Arc::new(SimulatedSources::default()),
    };
    let surroundings = Surroundings {
        agent,
        sources,
        machines: Arc::new(Unreliable(Arc::new(machines))),
        faults: Arc::new(Mishaps {
            dice,
            mortal: std::env::var_os(MORTAL).is_some(),
            calm,
        }),
        timeouts: Timeouts {
            ready: Duration::from_secs(3),
            shutdown: Duration::from_millis(400),
            power_off: Duration::from_millis(200),
            last_word: Duration::from_millis(300),
            reboot: Duration::from_millis(10),
            unused: None,
        },
        networks: engine::Networks::default(),
        configured: None,
        ca_certificates: None,
        registry_mirrors: config.registry_mirrors,
        free_space_reserve: Some(0),
        defaults: Defaults {
            image: "debian".into(),
            vcpu: 1,
            memory_mib: 128,
            disk_size: 256 << 20,
            network: NetworkMode::None,
        },
        idle_timeout: Duration::from_millis(if calm { 600_000 } else { 500 }),
        uid: environment.uid(),
        paths,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .map_err(DaemonError::Runtime)?;
    runtime.block_on(Daemon::run(surroundings, true))
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is given by the test"))
}

/// Steps that fail, and in which the daemon dies.
#[derive(Debug)]
struct Mishaps {
    dice: Arc<Mutex<Dice>>,
    mortal: bool,
    calm: bool,
}

impl Faults for Mishaps {
    fn hit<'a>(&'a self, point: &'a str) -> BoxFuture<'a, Result<(), String>> {
        if self.calm {
            return Box::pin(std::future::ready(Ok(())));
        }
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        if self.mortal && dice.once_in(300) {
            let own = nix::unistd::Pid::this();
            nix::sys::signal::kill(own, nix::sys::signal::Signal::SIGKILL).expect("it may kill itself");
        }
        let outcome = match dice.once_in(60) {
            true => Err(format!("injected failure at `{point}`")),
            false => Ok(()),
        };
        Box::pin(std::future::ready(outcome))
    }
}

#[derive(Debug)]
struct Unreliable(Arc<UnreliableBackend>);

impl Machines for Unreliable {
    fn choose(&self) -> Result<Choice, EngineError> {
        Ok(Choice {
            backend: Arc::clone(&self.0) as _,
            reason: String::new(),
        })
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, EngineError>> {
        Box::pin(async move { Ok(self.0.find(folder).await?) })
    }
}

/// A backend whose machines have faults by chance.
#[derive(Debug)]
struct UnreliableBackend {
    machines: SimulatedBackend,
    dice: Arc<Mutex<Dice>>,
    /// Where those of all machines stand, if not left to chance.
    faults: Option<PathBuf>,
}

impl Backend for UnreliableBackend {
    fn name(&self) -> &str {
        self.machines.name()
    }

    fn start<'a>(&'a self, spec: &'a MachineSpec) -> BoxFuture<'a, Result<Arc<dyn Machine>, VmmError>> {
        let faults = match &self.faults {
            Some(folder) => faults_in(folder, &spec.id),
            None => faults(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        self.machines.fault_vm(&spec.id, faults);
        self.machines.start(spec)
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, VmmError>> {
        self.machines.find(folder)
    }
}

/// Those of this machine where a folder is named after it, else those of all.
fn faults_in(folder: &Path, id: &str) -> MachineFaults {
    let own = folder.join(id);
    let folder = if own.exists() { &own } else { folder };
    MachineFaults::read(folder).expect("a test writes what can be read")
}

/// Most machines have none.
fn faults(dice: &mut Dice) -> MachineFaults {
    let lies = [
        Lie::Garbage,
        Lie::EndlessHeaders,
        Lie::EndlessBody,
        Lie::NotJson,
        Lie::CutOff,
    ];
    MachineFaults {
        dies_at_start: dice.once_in(40).then(|| "out of memory".to_owned()),
        dies_after_ms: dice
            .once_in(20)
            .then(|| u64::try_from(dice.below(300)).unwrap_or_default()),
        boot_delay_ms: if dice.once_in(10) {
            u64::try_from(dice.below(200)).unwrap_or_default()
        } else {
            0
        },
        never_boots: dice.once_in(150),
        silent: dice.once_in(150),
        lies: dice.once_in(150).then(|| *dice.one_of(&lies)),
        refuses_exec: dice.once_in(30),
        drops_exec_after: dice.once_in(30).then_some(2),
        panics_while_booting: dice.once_in(100),
        ends: None,
        no_power_button: dice.once_in(2),
        ignores_power: dice.once_in(30),
        ..MachineFaults::default()
    }
}
