//! One host of the random lifecycles: a state directory, whichever daemon has it right now, and what must be left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::PortForward;
use api::client::{Client, ClientError};
use config::{Environment, Paths};
use process::{Handle, Identity, Signal, read_record};
use store::Store;
use testkit::{Leaks, Program};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::Mutex as AsyncMutex;

use crate::told::carry_out;

/// Nothing that is asked for may take longer, whatever dies meanwhile.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a port may be taken that was given up.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// The first port that is published, and how many of them each of the two tests has; none of those that the system
/// gives away by itself, or that other tests publish.
const PORTS: u16 = 30_000;
const OWN_PORTS: u16 = 1300;
/// How many of these many clients quarrel about.
pub const SHARED_PORTS: u64 = 4;

/// What a daemon keeps and what grows with use. What the first VM brought, artefacts among them, is there before.
const KEPT: [&str; 5] = [
    "state/banger/banger.db",
    "state/banger/banger.db-wal",
    "state/banger/banger.db-shm",
    "state/banger/bangerd.log",
    "state/banger/bangerd.log.1",
];

/// Counts what happened, for the report.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    pub fn count(&self, what: impl Display) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what.to_string()).or_default() += 1;
    }

    pub fn report(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = counts.iter().map(|(what, count)| format!("  {count:>6} {what}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[derive(Debug)]
pub struct Host {
    folder: tempfile::TempDir,
    pub seed: u64,
    /// Whether daemons are killed.
    pub mortal: bool,
    paths: Paths,
    starting: AsyncMutex<()>,
    number: AtomicU64,
    /// Ports that were published: whether UDP, and where.
    ports: Mutex<BTreeSet<(bool, SocketAddr)>>,
    pub tally: Tally,
}

impl Host {
    pub fn new(seed: u64, mortal: bool) -> Self {
        // Below the build folder, so that the programs can be linked into it: `banger` starts the `bangerd` beside it.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let programs = folder.path().join("bin");
        std::fs::create_dir(&programs).unwrap();
        for (program, name) in [
            (Program::Binary("banger", "banger"), "banger"),
            (Program::Example("bangerd", "simulated-bangerd"), "bangerd"),
            (Program::Binary("testkit", "simulated-vmm"), "simulated-vmm"),
        ] {
            std::fs::hard_link(program.locate(), programs.join(name)).unwrap();
        }
        let uid = rustix::process::geteuid().as_raw();
        let environment = variables(folder.path())
            .into_iter()
            .fold(Environment::new(uid), |environment, (name, value)| {
                environment.with(name, value)
            });
        Self {
            paths: Paths::personal(&environment).unwrap(),
            folder,
            seed,
            mortal,
            starting: AsyncMutex::default(),
            number: AtomicU64::new(0),
            ports: Mutex::default(),
            tally: Tally::default(),
        }
    }

    /// An answer that is missing or cut is that of a daemon that died.
    pub fn assert_gone(&self, error: &ClientError) {
        let gone = match error {
            ClientError::Unreachable { .. } | ClientError::Broke(_) => true,
            ClientError::Protocol(message) => message == "the events stop before the end",
            _ => false,
        };
        assert!(
            gone && self.mortal,
            "not what a daemon that died leaves: {error:?}"
        );
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// `banger` or `bangerd`, with nothing of this process's environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.root().join("bin").join(program));
        command
            .env_clear()
            .envs(variables(self.root()))
            .env("HOME", self.root().join("home"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SIMULATED_VMM", self.root().join("bin/simulated-vmm"))
            .env("SIMULATED_SEED", self.seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.mortal {
            command.env("SIMULATED_MORTAL", "");
        }
        command
    }

    /// The next free number for a name.
    pub fn number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// A client of the daemon that has the state directory; started if there is none.
    pub async fn client(&self) -> Client {
        let since = Instant::now();
        loop {
            if let Ok(client) = self.connect().await {
                return client;
            }
            // One at a time: the command line's own starts race with these anyway.
            let _turn = self.starting.lock().await;
            if let Ok(client) = self.connect().await {
                return client;
            }
            let announced = tokio::time::timeout(PATIENCE, self.start_daemon()).await;
            announced.expect("a daemon says within a minute that it is ready");
            assert!(since.elapsed() < PATIENCE, "no daemon stays for a connection");
        }
    }

    /// A connection that holds the daemon, if there is one.
    async fn connect(&self) -> Result<Client, ClientError> {
        Client::new(self.paths.socket())
            .with_patience(PATIENCE)
            .hold()
            .await
    }

    async fn start_daemon(&self) {
        let mut child = self.command("bangerd").arg("--announce").spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).await.unwrap();
        if !line.starts_with("ready ") {
            // Its own end by chance, as by a kill, comes at any time; anything else it says.
            let ended = child.wait_with_output().await.unwrap();
            let words = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(words, "", "the daemon does not start: {}", ended.status);
            return;
        }
        self.tally.count("daemons started by the test");
    }

    /// The daemon's process, if there is one.
    pub async fn daemon(&self) -> Option<Handle> {
        let client = self.connect().await.ok()?;
        let pid = u32::try_from(client.listener()?).ok()?;
        Identity::of(pid).ok()?.open()
    }

    /// The processes of machines that run, by what their folders say.
    pub fn machines(&self) -> Vec<Handle> {
        let folders = std::fs::read_dir(self.paths.vms())
            .into_iter()
            .flatten()
            .flatten();
        let records = folders.map(|folder| folder.path().join("process.json"));
        let identities = records.filter_map(|record| read_record(&record).ok().flatten());
        identities.filter_map(|identity| identity.open()).collect()
    }

    /// The port of this number, shared.
    pub fn shared_port(&self, number: u64) -> PortForward {
        self.port(number % SHARED_PORTS, false)
    }

    /// The port of this number; those at a time have different ones.
    pub fn own_port(&self, number: u64, udp: bool) -> PortForward {
        self.port(SHARED_PORTS + number % (u64::from(OWN_PORTS) - SHARED_PORTS), udp)
    }

    fn port(&self, number: u64, udp: bool) -> PortForward {
        let first = PORTS + if self.mortal { OWN_PORTS } else { 0 };
        let host = first + u16::try_from(number).unwrap();
        let protocol = if udp { "/udp" } else { "" };
        let port: PortForward = format!("{host}:9{protocol}").parse().unwrap();
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.extend(port.endpoints().into_iter().map(|endpoint| (udp, endpoint)));
        port
    }

    /// What there is now, with no daemon.
    pub async fn leaks(&self) -> Leaks {
        self.until_idle().await;
        Leaks::snapshot(self.root()).ignoring(&KEPT)
    }

    /// Waits until the daemon ends by itself, as it does when no VM runs and nothing is under way.
    async fn until_idle(&self) {
        let Some(daemon) = self.daemon().await else { return };
        let ended = tokio::time::timeout(PATIENCE, daemon.wait()).await;
        assert!(ended.is_ok(), "the daemon does not end though nobody needs it");
    }

    /// All VMs are deleted: those of clients that are gone go by themselves. Where daemons die, the last one is new.
    pub async fn delete_all(&self) {
        if self.mortal
            && let Some(daemon) = self.daemon().await
        {
            daemon.kill(Signal::KILL).unwrap();
            daemon.wait().await.unwrap();
        }
        let since = Instant::now();
        loop {
            assert!(since.elapsed() < PATIENCE, "VMs stay though they are deleted");
            let client = self.client().await;
            let Ok(vms) = client.vms().await else { continue };
            if vms.is_empty() {
                return;
            }
            for vm in vms.iter().filter(|vm| !vm.ephemeral) {
                let delete = api::client::Action::Delete(vm.id.clone());
                let _ = carry_out(self, &client, &delete).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails if anything is left of what happened since `leaks`.
    pub async fn assert_as_before(&self, leaks: &Leaks) {
        self.until_idle().await;
        leaks.assert_none_since().await;
        let store = Store::open(self.paths.database()).await.unwrap();
        assert_eq!(store.vms().list().await.unwrap(), [], "rows of VMs are left");
        assert_eq!(
            store.operations().unfinished().await.unwrap(),
            [],
            "operations never ended"
        );
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (udp, endpoint) in ports {
            assert_free(udp, endpoint).await;
        }
    }

    /// Keeps the folder of a run that failed; gives where it is.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.root().to_owned()
    }
}

impl Drop for Host {
    /// Daemons and machines outlive a test that fails.
    fn drop(&mut self) {
        testkit::end_processes_of(self.root());
    }
}

/// Fails if the port stays taken. A child that the daemon is just forking has a copy of each socket for a moment.
pub async fn assert_free(udp: bool, endpoint: SocketAddr) {
    let since = Instant::now();
    loop {
        let bound = match udp {
            true => UdpSocket::bind(endpoint).map(drop),
            false => TcpListener::bind(endpoint).map(drop),
        };
        match bound {
            Ok(()) => return,
            Err(error) => assert!(since.elapsed() < GIVEN_UP, "port {endpoint} stays taken: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn variables(root: &Path) -> [(&'static str, PathBuf); 4] {
    [
        ("XDG_CONFIG_HOME", root.join("config")),
        ("XDG_STATE_HOME", root.join("state")),
        ("XDG_CACHE_HOME", root.join("cache")),
        ("XDG_RUNTIME_DIR", root.join("run")),
    ]
}
