//! A host with a daemon, four VMs and a folder that a user works in.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use testkit::{Lie, MachineFaults, Program};

use crate::ended::run;

/// Nothing that is honest takes longer, however much else goes on.
const PATIENCE: Duration = Duration::from_secs(60);

/// VMs: one that lies, an honest one, one that is started again and again, one that is off.
pub const LIAR: &str = "liar";
pub const HONEST: &str = "honest";
pub const RESTARTED: &str = "restarted";
pub const STARTED: &str = "started";

pub struct Host {
    folder: tempfile::TempDir,
    daemon: Child,
    /// Folders of the VMs, by their names.
    vms: BTreeMap<&'static str, PathBuf>,
    before: Mutex<BTreeMap<PathBuf, String>>,
}

impl Host {
    pub fn start() -> Self {
        Self::with(&[LIAR, HONEST, RESTARTED, STARTED], "")
    }

    /// With these VMs, of which all but the last run, and what the user has set.
    pub fn with(vms: &[&'static str], settings: &str) -> Self {
        // Below the build folder, so that the programs can be linked into it.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = folder.path();
        for folder in ["bin", "faults", "home/work/.git", "guest", "config/banger"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("config/banger/config.toml"), settings).unwrap();
        for (program, name) in [
            (Program::Binary("banger", "banger"), "banger"),
            (Program::Example("bangerd", "simulated-bangerd"), "bangerd"),
            (Program::Binary("testkit", "simulated-vmm"), "simulated-vmm"),
        ] {
            fs::hard_link(program.locate(), root.join("bin").join(name)).unwrap();
        }
        for file in [".bashrc", ".git/config", "notes"] {
            fs::write(root.join("home/work").join(file), "mine").unwrap();
        }
        let mut daemon = surrounded(root, "bangerd")
            .arg("--announce")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = daemon.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready "), "the daemon does not start: {line}");
        let mut host = Self {
            folder,
            daemon,
            vms: BTreeMap::new(),
            before: Mutex::default(),
        };
        for name in vms.iter().copied() {
            host.succeeds(&["vm", "create", "-q", "--name", name]);
        }
        for name in vms.iter().copied().rev().skip(1) {
            host.succeeds(&["vm", "start", "-q", name]);
        }
        host.vms = host.folders(vms);
        *host.before.lock().unwrap() = host.found();
        host
    }

    fn folders(&self, names: &[&'static str]) -> BTreeMap<&'static str, PathBuf> {
        let listed = self.succeeds(&["ps", "-a", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let vms = self.root().join("state/banger/vms");
        names
            .iter()
            .map(|name| {
                let vm = listed.as_array().unwrap().iter().find(|vm| vm["name"] == *name);
                (*name, vms.join(vm.unwrap()["id"].as_str().unwrap()))
            })
            .collect()
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Where a user copies things to.
    pub fn work(&self) -> PathBuf {
        self.root().join("home/work")
    }

    /// Has the guests tell this from now on, or the truth.
    pub fn tell(&self, lie: Option<Lie>) {
        let faults = MachineFaults {
            lies: lie,
            ..MachineFaults::default()
        };
        // Those that start, and those that run.
        faults.write(&self.root().join("faults")).unwrap();
        for name in [LIAR, RESTARTED, STARTED] {
            faults.write(&self.vms[name]).unwrap();
        }
    }

    /// `banger`, in the user's folder, with nothing of this process's surroundings.
    pub fn banger(&self, arguments: &[&str]) -> Command {
        let mut command = surrounded(self.root(), "banger");
        command.args(arguments).current_dir(self.work());
        command
    }

    /// Runs what has to go well.
    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let ended = run(&mut self.banger(arguments), Some(PATIENCE));
        assert!(
            ended.status.success(),
            "{arguments:?}: {}{}",
            ended.out,
            ended.err
        );
        ended.out
    }

    /// The guest that lied is reached as soon as it tells the truth, and the daemon answers all along.
    pub fn assert_reached(&self, lie: Lie) {
        let since = Instant::now();
        self.succeeds(&["ps"]);
        for name in [LIAR, HONEST] {
            loop {
                let ended = run(
                    &mut self.banger(&["vm", "exec", name, "--", "echo", "word"]),
                    Some(PATIENCE),
                );
                if ended.status.success() && ended.out == "word\n" {
                    break;
                }
                assert!(
                    since.elapsed() < PATIENCE,
                    "{lie:?}: `{name}` is not reached: {}",
                    ended.err
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        // What became of those that start and stop is one thing or the other; they begin anew.
        for name in [RESTARTED, STARTED] {
            let _ = run(&mut self.banger(&["vm", "kill", "-q", name]), Some(PATIENCE));
        }
        self.succeeds(&["vm", "start", "-q", RESTARTED]);
    }

    /// What lies beside the targets of copies.
    fn found(&self) -> BTreeMap<PathBuf, String> {
        found_in(vec![self.work(), self.root().join("guest")])
    }

    /// Fails where anything but what was asked for has come or changed; takes away what was asked for.
    pub fn assert_untouched(&self, lie: Lie) {
        let now = self.found();
        let work = self.work();
        let guest = self.root().join("guest");
        let asked = ["tree", "kept", "fresh", "out.patch"].map(|name| work.join(name));
        let asked: Vec<PathBuf> = asked
            .into_iter()
            .chain(["tree", "between", "in"].map(|name| guest.join(name)))
            .collect();
        for (path, what) in &now {
            let mode = u32::from_str_radix(what.split(' ').next().unwrap(), 8).unwrap();
            assert_eq!(mode & 0o6000, 0, "{lie:?}: {} has set-id bits", path.display());
            let kind = mode & 0o170_000;
            assert!(
                matches!(kind, 0o100_000 | 0o040_000 | 0o120_000),
                "{lie:?}: {} is a device or a pipe",
                path.display()
            );
            if asked.iter().any(|asked| path.starts_with(asked)) {
                continue;
            }
            assert_eq!(
                self.before.lock().unwrap().get(path),
                Some(what),
                "{lie:?}: {} was not asked for",
                path.display()
            );
        }
        for path in self.before.lock().unwrap().keys() {
            assert!(now.contains_key(path), "{lie:?}: {} is gone", path.display());
        }
        assert!(!Path::new("/tmp/banger-evil").exists(), "{lie:?}");
        for path in asked {
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(&path);
        }
    }

    /// Bytes of memory that the daemon has.
    pub fn daemon_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Most that it has had since it began, or since this was asked before (proc(5), `clear_refs`).
    pub fn daemon_peak(&self) -> u64 {
        let peak = self.memory("VmHWM:");
        // Where that may not be written, the peak is an earlier lie's at worst.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.daemon.id()), "5");
        peak
    }

    fn memory(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.id())).unwrap();
        let line = status.lines().find_map(|found| found.strip_prefix(line));
        let kib: u64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    }

    /// The same once it is no more than this, or does not get there.
    pub fn settled_memory(&self, most: u64) -> u64 {
        let since = Instant::now();
        loop {
            let now = self.daemon_memory();
            if now <= most || since.elapsed() > Duration::from_secs(20) {
                return now;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Takes all of it down; fails if something is left.
    pub fn end(mut self) {
        for name in self.vms.keys() {
            self.succeeds(&["vm", "delete", "-q", name]);
        }
        let left: Vec<_> = fs::read_dir(self.root().join("state/banger/vms"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "left: {left:?}");
        self.succeeds(&["daemon", "stop"]);
        assert!(self.daemon.wait().unwrap().success());
        let since = Instant::now();
        loop {
            let left = testkit::processes_of(self.root());
            if left.is_empty() {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "processes are left: {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What is in folders, with modes and, of small files, content.
pub fn found_in(mut folders: Vec<PathBuf>) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            let content = match metadata.is_file() && metadata.len() < 4096 {
                true => fs::read(&path).unwrap_or_default(),
                false => Vec::new(),
            };
            let mode = metadata.mode();
            found.insert(path, format!("{mode:o} {}", content.escape_ascii()));
        }
    }
    found
}

impl Drop for Host {
    /// Daemon and machines of a test that failed.
    fn drop(&mut self) {
        testkit::end_processes_of(self.root());
        let _ = self.daemon.wait();
    }
}

fn surrounded(root: &Path, program: &str) -> Command {
    let mut command = Command::new(root.join("bin").join(program));
    command
        .env_clear()
        .env("XDG_CONFIG_HOME", root.join("config"))
        .env("XDG_STATE_HOME", root.join("state"))
        .env("XDG_CACHE_HOME", root.join("cache"))
        .env("XDG_RUNTIME_DIR", root.join("run"))
        .env("HOME", root.join("home"))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SIMULATED_VMM", root.join("bin/simulated-vmm"))
        .env("SIMULATED_FAULTS", root.join("faults"))
        .stdin(Stdio::null());
    command
}
