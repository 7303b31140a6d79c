//! Hostile registries: each verb that fetches an image, a kernel or a catalog, from servers that lie or flood.
//!
//! ```text
//!  banger image pull, vm run, kernel pull ──► simulated-bangerd ──► `testkit::hostile::registry`
//! ```
//!
//! After each lie no login and no token was seen where it does not belong, nothing was written but the daemon's own, and of
//! that nothing stays; the daemon's memory was and is within its bound; each command has ended with a code and one line;
//! the same name is pulled from the servers once they are honest again. Each lie was really told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::abuse::{Ended, Stage, assert_plain, found_in, run, run_until};
use testkit::hostile::registry::{HostileRegistry, Phase, Port, RegistryLie};
use testkit::{Dice, kernel};

use crate::host::Host;

/// Hosts that are lied to at the same time, each with a daemon and servers of its own.
const HOSTS: usize = 8;
/// What the daemon may have more, a while after a lie.
const MORE_MEMORY: u64 = 64 << 20;
/// What an import may take meanwhile: 512 MiB, and 128 MiB where zstd's long window is used; and what the daemon has
/// beside that for requests and threads.
const MOST_MEMORY: u64 = (640 + 64) << 20;
/// What may lie on the disk while a lie lasts. No bomb is larger than what of it is to be stored.
const MOST_DISK: u64 = 3 << 30;
/// Longest line that a command complains in, and most lines with its stages.
const LONGEST_LINE: usize = 4096;
const MOST_LINES: usize = 20;
/// How long a command may take that its user does not end, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(240);
/// That long after it was told, a user ends what may last.
const LITTLE_PATIENCE: Duration = Duration::from_secs(2);

/// A verb, as a user gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Pull,
    PullWithKernel,
    /// The registry speaks no TLS.
    PullWithTls,
    PullMirrored,
    Run,
    PullBoxed,
    RunBoxed,
    PullMetal,
    ListPublished,
}

impl Verb {
    /// What fetches what a lie is about. Which of several ways it takes goes by a number.
    fn of(lie: RegistryLie, phase: Phase, number: usize) -> Vec<Self> {
        if lie.is_of_mirror() {
            return vec![Self::PullMirrored];
        }
        match phase {
            Phase::Catalog => vec![Self::PullBoxed, Self::PullMetal, Self::ListPublished],
            Phase::Bundle if number.is_multiple_of(2) => vec![Self::PullBoxed, Self::PullMetal],
            Phase::Bundle => vec![Self::RunBoxed, Self::PullMetal],
            // Two that want the same blob would wait for each other.
            _ => {
                let ways = [Self::Pull, Self::PullWithKernel, Self::Run];
                let mut verbs = vec![ways[number % ways.len()]];
                verbs.extend(number.is_multiple_of(5).then_some(Self::PullWithTls));
                verbs
            }
        }
    }

    fn arguments(self, servers: &HostileRegistry) -> Vec<String> {
        let image = format!("{}/app:1", servers.registry());
        let port = servers.registry().rsplit(':').next().unwrap();
        let mirrored = format!("localhost:{port}/app:1");
        let words: Vec<&str> = match self {
            Self::Pull => vec!["image", "pull", "--plain-http", &image],
            Self::PullWithKernel => vec![
                "image",
                "pull",
                "--plain-http",
                "--name",
                "other",
                "--kernel",
                "vmlinux",
                &image,
            ],
            Self::PullWithTls => vec!["image", "pull", "--name", "secure", &image],
            Self::PullMirrored => vec!["image", "pull", "--plain-http", &mirrored],
            Self::Run => vec![
                "vm",
                "run",
                "--rm",
                "--plain-http",
                "--image",
                &image,
                "--",
                "true",
            ],
            Self::PullBoxed => vec!["image", "pull", "boxed"],
            Self::RunBoxed => vec!["vm", "run", "--rm", "--image", "boxed", "--", "true"],
            Self::PullMetal => vec!["kernel", "pull", "metal"],
            Self::ListPublished => vec!["kernel", "list", "--available"],
        };
        words.into_iter().map(str::to_owned).collect()
    }
}

/// A host, the servers that it knows, and what was there before the first lie.
struct Case {
    host: Host,
    servers: HostileRegistry,
    outside: tempfile::TempDir,
    /// What the login is.
    secret: String,
    before: Before,
}

#[derive(Default)]
struct Before {
    /// Beside what is the daemon's.
    found: BTreeMap<PathBuf, String>,
    /// The daemon's own, by name.
    stored: Vec<PathBuf>,
    memory: u64,
}

#[test]
fn no_lie_of_a_registry_harms_the_host_the_daemon_or_the_terminal() {
    let (seed, length, wished) = crate::wished(RegistryLie::ALL);
    let mut dice = Dice::new(seed);
    // Each once, in one of its phases; a reset connection in all of them.
    let lies: Vec<(RegistryLie, Phase)> = wished
        .into_iter()
        .flat_map(|lie| match lie {
            RegistryLie::Reset => lie.phases().iter().map(|phase| (lie, *phase)).collect(),
            lie => vec![(lie, *dice.one_of(lie.phases()))],
        })
        .collect();
    std::thread::scope(|scope| {
        for number in 0..HOSTS.min(lies.len()) {
            let lies = &lies;
            scope.spawn(move || one_host(lies, number, Dice::of(seed, number as u64), length));
        }
    });
}

/// One host's share of the lies, or lies at random for some time.
fn one_host(lies: &[(RegistryLie, Phase)], number: usize, mut dice: Dice, length: Option<Duration>) {
    let case = Case::start();
    let since = Instant::now();
    let mut told = 0;
    match length {
        None => {
            for (at, lie) in lies.iter().enumerate().skip(number).step_by(HOSTS) {
                case.abuse(lie.0, lie.1, at / HOSTS);
                told += 1;
            }
        }
        Some(length) => {
            while since.elapsed() < length {
                let (lie, _) = *dice.one_of(lies);
                case.abuse(lie, *dice.one_of(lie.phases()), dice.below(30));
                told += 1;
            }
        }
    }
    println!(
        "{told} lies of registries in {:.1?}; the daemon had {} KiB and has {} KiB",
        since.elapsed(),
        case.before.memory >> 10,
        case.host.daemon_memory().now() >> 10
    );
    for kind in ["image", "kernel"] {
        assert_eq!(case.host.succeeds(&[kind, "list", "-q"]), "", "of each {kind}");
    }
    case.host.end();
}

impl Case {
    fn start() -> Self {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("notes"), "mine").unwrap();
        let servers = HostileRegistry::start(outside.path());
        let port = servers.registry().rsplit(':').next().unwrap();
        let settings = format!(
            "catalog_url = \"{}\"\n[registry_mirrors]\n\"localhost:{port}\" = [\"http://{}\"]\n",
            servers.catalog(),
            servers.elsewhere()
        );
        let host = Host::with(&settings);
        let secret = format!("secret-{}", std::process::id());
        let login = serde_json::json!({"username": "me", "password": secret});
        let hosts = [servers.registry().to_owned(), format!("localhost:{port}")];
        let auths: serde_json::Map<_, _> = hosts.into_iter().map(|host| (host, login.clone())).collect();
        let docker = host.root().join("home/.docker");
        fs::create_dir(&docker).unwrap();
        let config = serde_json::json!({ "auths": auths });
        fs::write(docker.join("config.json"), config.to_string()).unwrap();
        fs::write(host.work().join("vmlinux"), kernel::vmlinux("6.1.0")).unwrap();
        let mut case = Self {
            host,
            servers,
            outside,
            secret,
            before: Before::default(),
        };
        // What is made once and stays.
        case.assert_honest("at first", false);
        case.assert_honest("at first", true);
        for verb in [Verb::Run, Verb::RunBoxed] {
            let ended = case.run(verb, RegistryLie::Reset);
            assert!(ended.status.success(), "{verb:?}: {}", ended.err);
        }
        case.take_back("at first");
        case.host.succeeds(&["image", "cache", "prune"]);
        case.before = Before {
            found: case.found(),
            stored: case.stored(),
            memory: case.host.daemon_memory().now(),
        };
        case
    }

    fn abuse(&self, lie: RegistryLie, phase: Phase, number: usize) {
        let what = format!("{lie:?} at {phase:?}");
        let since = Instant::now();
        self.host.daemon_memory().forget_peak();
        self.servers.tell(Some((lie, phase)));
        let verbs = Verb::of(lie, phase, number);
        let over = AtomicBool::new(false);
        let (ended, disk) = std::thread::scope(|scope| {
            let watching = scope.spawn(|| self.most_disk(&over));
            let running: Vec<_> = verbs
                .iter()
                .map(|verb| scope.spawn(|| self.run(*verb, lie)))
                .collect();
            let ended: Vec<Ended> = running.into_iter().map(|verb| verb.join().unwrap()).collect();
            over.store(true, Ordering::SeqCst);
            (ended, watching.join().unwrap())
        });
        let took = since.elapsed();
        let told = self.servers.lies();
        assert!(told > 0, "{what}: it was not told: {:?}", said(&verbs, &ended));
        self.assert_logins_kept(&what);
        self.servers.tell(None);
        for (verb, ended) in verbs.iter().zip(&ended) {
            check(*verb, lie, ended, &format!("{what}, {verb:?}"));
        }
        let peak = self.host.daemon_memory().peak();
        assert!(peak <= MOST_MEMORY, "{what}: the daemon had {} MiB", peak >> 20);
        assert!(disk <= MOST_DISK, "{what}: {} MiB on the disk", disk >> 20);
        if self.stored() != self.before.stored || ended.iter().any(|ended| ended.status.success()) {
            self.take_back(&what);
        }
        self.assert_nothing_stays(&what);
        self.assert_honest(&what, phase.is_of_catalog());
        let most = self.before.memory + MORE_MEMORY;
        let memory = self.host.daemon_memory().settled(most);
        assert!(memory <= most, "{what}: the daemon keeps {} MiB", memory >> 20);
        println!(
            "{what}: told {told} times in {took:.1?}, {:.1?} in all; at most {} MiB, {} on the disk; {:?}",
            since.elapsed(),
            peak >> 20,
            disk >> 20,
            said(&verbs, &ended)
        );
    }

    fn run(&self, verb: Verb, lie: RegistryLie) -> Ended {
        let arguments = verb.arguments(&self.servers);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // From when it is told: a machine that has much else to do takes its time until then.
        let mut told = None;
        run_until(&mut self.host.banger(&words), |elapsed| {
            if lie.may_last() && told.is_none() && self.servers.lies() > 0 {
                told = Some(elapsed);
            }
            let little = told.is_some_and(|told| elapsed > told + LITTLE_PATIENCE);
            little || elapsed > PATIENCE
        })
    }

    /// Login and token are the registry's alone.
    fn assert_logins_kept(&self, what: &str) {
        let asked = self.servers.asked();
        let secrets = [self.secret.as_str(), "token-of-the-registry"];
        for request in asked.iter().filter(|request| request.port != Port::Registry) {
            let own = request.authorization.as_deref() == Some("Bearer token-of-elsewhere");
            assert!(
                request.authorization.is_none() || own,
                "{what}: a login elsewhere: {}",
                request.text
            );
            assert!(
                !secrets.iter().any(|secret| request.text.contains(secret)),
                "{what}: a secret elsewhere: {}",
                request.text
            );
        }
    }

    /// Takes away what was had all the same, once it has been looked at.
    fn take_back(&self, what: &str) {
        for (kind, verb) in [("image", "delete"), ("kernel", "rm")] {
            let names = self.host.succeeds(&[kind, "list", "-q"]);
            for name in names.lines() {
                for show in [
                    &[kind, "show", name][..],
                    &[kind, "show", "--json", name],
                    &[kind, "list"],
                ] {
                    assert_plain(&self.host.succeeds(show), what);
                }
                // An image's own kernel goes with it.
                let gone = run(&mut self.host.banger(&[kind, verb, name]), Some(PATIENCE));
                assert!(gone.status.success() || kind == "kernel", "{what}: {}", gone.err);
            }
        }
    }

    /// Nothing but layers that are whole, or will be when the rest of them comes; and those go when they are asked to.
    fn assert_nothing_stays(&self, what: &str) {
        let blobs = self.host.root().join("cache/banger/blobs");
        for entry in fs::read_dir(&blobs).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            match name.strip_suffix(".partial") {
                Some(_) => {}
                None => {
                    let found = testkit::container::digest(&fs::read(&path).unwrap());
                    assert_eq!(found, format!("sha256:{name}"), "{what}");
                }
            }
        }
        self.host.succeeds(&["image", "cache", "prune"]);
        // What was cancelled cleans up by itself, and does not have its user wait for that.
        let since = Instant::now();
        while self.stored() != self.before.stored && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.stored(), self.before.stored, "{what}");
        assert_eq!(self.found(), self.before.found, "{what}");
    }

    /// The same name, from servers that tell the truth.
    fn assert_honest(&self, what: &str, of_catalog: bool) {
        let (verb, due) = match of_catalog {
            true => (Verb::PullBoxed, "boxed"),
            false => (Verb::Pull, "app"),
        };
        let arguments = verb.arguments(&self.servers);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_eq!(self.host.succeeds(&words).trim_end(), due, "{what}");
        self.host.succeeds(&["image", "delete", due]);
        if !of_catalog {
            self.host.succeeds(&["image", "cache", "prune"]);
        }
    }

    fn found(&self) -> BTreeMap<PathBuf, String> {
        let mut folders = vec![self.outside.path().to_owned()];
        folders.extend(["bin", "config", "faults", "guest", "home"].map(|name| self.host.root().join(name)));
        let mut found = found_in(folders);
        for name in fs::read_dir(self.host.root()).unwrap() {
            found.insert(name.unwrap().path(), String::new());
        }
        found
    }

    /// Names of what the daemon keeps, but for its database, its log, and what it makes of an honest kernel again and again.
    fn stored(&self) -> Vec<PathBuf> {
        let folders = ["state", "cache"].map(|name| self.host.root().join(name));
        let plain = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            !name.starts_with("banger.db") && !name.ends_with(".log") && !name.ends_with(".cpio")
        };
        found_in(folders.to_vec()).into_keys().filter(plain).collect()
    }

    /// Most bytes that the daemon's folders take until it is over.
    fn most_disk(&self, over: &AtomicBool) -> u64 {
        let mut most = 0;
        while !over.load(Ordering::SeqCst) {
            most = most.max(
                ["state", "cache"]
                    .map(|name| size(&self.host.root().join(name)))
                    .iter()
                    .sum(),
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        most
    }
}

/// Bytes that a folder takes on the disk. What goes meanwhile is nothing.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// What each command said last.
fn said(verbs: &[Verb], ended: &[Ended]) -> Vec<String> {
    let last = |ended: &Ended| {
        let mut lines = ended.err.lines().filter(|line| line.starts_with("banger: "));
        let silent = match ended.status.success() {
            true => "went well",
            false => "was ended",
        };
        let last = lines.next_back().unwrap_or(silent);
        last.chars().take(200).collect::<String>()
    };
    let both = verbs.iter().zip(ended);
    both.map(|(verb, ended)| format!("{verb:?}: {}", last(ended)))
        .collect()
}

/// How a command ended.
fn check(verb: Verb, lie: RegistryLie, ended: &Ended, what: &str) {
    ended.check(what);
    assert_plain(&ended.out, what);
    assert!(
        !ended.asked || lie.may_last(),
        "{what}: it does not end: {}",
        ended.err
    );
    let lines: Vec<&str> = ended.err.lines().collect();
    assert!(
        lines.len() <= MOST_LINES,
        "{what}: {} lines: {}",
        lines.len(),
        ended.err
    );
    let longest = lines.iter().map(|line| line.len()).max().unwrap_or(0);
    assert!(longest <= LONGEST_LINE, "{what}: a line of {longest} bytes");
    // A kernel is none of an image's lie, and the other way round.
    let concerned = match verb {
        Verb::PullMetal => lie >= RegistryLie::KernelDots || lie < RegistryLie::BundleNotPacked,
        Verb::PullBoxed | Verb::RunBoxed => lie < RegistryLie::KernelDots,
        _ => true,
    };
    if verb == Verb::PullMirrored {
        assert!(
            ended.status.success(),
            "{what}: the registry itself has it: {}",
            ended.err
        );
    }
    if verb == Verb::PullWithTls {
        assert!(!ended.status.success(), "{what}: there is no TLS");
        return;
    }
    assert!(
        !ended.status.success() || lie.may_go_well() || !concerned,
        "{what}: it went well: {}{}",
        ended.out,
        ended.err
    );
    if !ended.status.success() && !ended.asked {
        let complaints = lines.iter().filter(|line| line.starts_with("banger: ")).count();
        assert_eq!(complaints, 1, "{what}: {}", ended.err);
    }
}
