//! A host with a daemon, some VMs, and folders that a user works in.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::abuse::{
    HONEST, LIAR, Memory, RESTARTED, STARTED, SYNCED, Stage, Untouched, commit_something, run,
};
use testkit::{Lie, MachineFaults, Program};

/// What the daemon may have more after all of it than before; a session of each machine and its buffers are within.
const MORE_MEMORY: u64 = 64 << 20;

/// Nothing that is honest takes longer, however much else goes on.
const PATIENCE: Duration = Duration::from_secs(60);

/// A VM whose channel is a port, for lies below any request; there while one is told.
const WIRED: &str = "wired";

/// VMs that are there all along.
const VMS: [&str; 5] = [LIAR, HONEST, RESTARTED, STARTED, SYNCED];

/// What is to be in a VM that starts with files.
const WITH_FILES: &str = "[[file_sync]]\nhost = \"~/settings\"\nguest = \"/root/.banger-abuse\"\n";

/// What a daemon may have more while it is flooded.
const FLOODED: u64 = 96 << 20;

pub struct Host {
    folder: tempfile::TempDir,
    daemon: Child,
    /// Folders of the VMs, by their names.
    vms: BTreeMap<&'static str, PathBuf>,
    untouched: Untouched,
}

impl Host {
    /// One with the VMs.
    pub fn start() -> Self {
        let mut host = Self::with("");
        for name in VMS {
            host.succeeds(&["vm", "create", "-q", "--no-start", "--name", name]);
        }
        host.vms = VMS.into_iter().map(|name| (name, host.vm_folder(name))).collect();
        for name in [LIAR, HONEST, RESTARTED] {
            host.succeeds(&["vm", "start", "-q", name]);
        }
        fs::write(host.root().join("home/settings"), "mine").unwrap();
        let with_files = host.root().join("home/with-files/banger");
        fs::create_dir_all(&with_files).unwrap();
        fs::write(with_files.join("config.toml"), WITH_FILES).unwrap();
        commit_something(&host.project());
        let project = host.project().display().to_string();
        let workspace = host.workspace().display().to_string();
        let prepare = ["vm", "workspace", "prepare", "-q", LIAR, &project];
        host.succeeds(&[&prepare[..], &["--guest-path", &workspace]].concat());
        host.untouched = Untouched::of(vec![host.root().join("home"), host.guest()]);
        host
    }

    /// One with these VMs, which run.
    pub fn running(vms: &[&'static str]) -> Self {
        let mut host = Self::with("");
        for name in vms {
            host.succeeds(&["vm", "create", "-q", "--name", name]);
            host.vms.insert(name, host.vm_folder(name));
        }
        host
    }

    /// Has all that is sent to a VM from now on kept in a folder, a file per connection.
    pub fn record_traffic(&self, vm: &str) -> PathBuf {
        let folder = self.root().join("traffic").join(vm);
        fs::create_dir_all(&folder).unwrap();
        let faults = MachineFaults {
            traffic: Some(folder.clone()),
            ..MachineFaults::default()
        };
        self.write_faults(&self.vms[vm], &faults);
        folder
    }

    /// Takes away what is remembered of a VM's workspaces.
    pub fn forget_workspaces(&self, vm: &str) {
        let id = self.vms[vm].file_name().unwrap().to_str().unwrap();
        let _ = fs::remove_file(self.root().join(format!("state/banger/workspaces/{id}.json")));
    }

    /// One without any, and with what the user has set.
    pub fn with(settings: &str) -> Self {
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
        Self {
            folder,
            daemon,
            vms: BTreeMap::new(),
            untouched: Untouched::of(Vec::new()),
        }
    }

    fn vm_folder(&self, name: &str) -> PathBuf {
        let shown = self.succeeds(&["vm", "show", "--json", name]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let vm = shown.as_array().map_or(&shown, |list| &list[0]);
        self.root()
            .join("state/banger/vms")
            .join(vm["id"].as_str().unwrap())
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
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
        // That a guest boots, and what it says of files then, are two things.
        let of_files = MachineFaults {
            lies_to: "PUT /v1/files".to_owned(),
            ..faults
        };
        self.write_faults(&self.vms[SYNCED], &of_files);
    }

    /// Faults of one machine, whether it runs or starts.
    fn write_faults(&self, folder: &Path, faults: &MachineFaults) {
        faults.write(folder).unwrap();
        let start = self.root().join("faults").join(folder.file_name().unwrap());
        fs::create_dir_all(&start).unwrap();
        faults.write(&start).unwrap();
    }

    /// Makes the VM whose channel is a port.
    pub fn make_wired(&mut self) {
        self.succeeds(&["vm", "create", "-q", "--no-start", "--name", WIRED]);
        let folder = self.vm_folder(WIRED);
        self.vms.insert(WIRED, folder);
        self.tell_wired(None);
        self.succeeds(&["vm", "start", "-q", WIRED]);
        Memory::of(self.daemon.id()).forget_peak();
    }

    /// Has it tell this on its channel.
    pub fn tell_wired(&self, lie: Option<Lie>) {
        let faults = MachineFaults {
            lies: lie,
            port: true,
            ..MachineFaults::default()
        };
        self.write_faults(&self.vms[WIRED], &faults);
    }

    /// The VM is reached as soon as its channel is what it should be, and is stopped and deleted while it is not.
    pub fn end_wired(&mut self, lie: Lie, before: u64) {
        self.tell_wired(None);
        self.assert_answers(WIRED, lie);
        self.tell_wired(Some(lie));
        self.succeeds(&["vm", "stop", "-q", WIRED]);
        let shown = self.succeeds(&["vm", "show", WIRED]);
        assert!(shown.contains("stopped"), "{lie}: {shown}");
        self.succeeds(&["vm", "delete", "-q", WIRED]);
        self.vms.remove(WIRED);
        let peak = Memory::of(self.daemon.id()).peak();
        assert!(
            peak <= before + FLOODED,
            "{lie}: the daemon had {before} bytes, and {peak} at most"
        );
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
        self.succeeds(&["ps"]);
        for name in [LIAR, HONEST] {
            self.assert_answers(name, lie);
        }
        // What became of those that start and stop is one thing or the other; they begin anew.
        for name in [RESTARTED, STARTED, SYNCED] {
            let _ = run(&mut self.banger(&["vm", "kill", "-q", name]), Some(PATIENCE));
        }
        self.succeeds(&["vm", "start", "-q", RESTARTED]);
    }

    fn assert_answers(&self, name: &str, lie: Lie) {
        let since = Instant::now();
        loop {
            let ended = run(
                &mut self.banger(&["vm", "exec", name, "--", "echo", "word"]),
                Some(PATIENCE),
            );
            if ended.status.success() && ended.out == "word\n" {
                return;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "{lie}: `{name}` is not reached: {}",
                ended.err
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fails where anything but what was asked for has come or changed; takes away what was asked for.
    pub fn assert_untouched(&self, lie: Lie) {
        let asked = ["tree", "kept", "fresh", "out.patch"].map(|name| self.work().join(name));
        let of_guests = ["tree", "between", "in"].map(|name| self.guest().join(name));
        self.untouched
            .check(&lie.to_string(), &[&asked[..], &of_guests].concat());
        let own = Path::new("/root/.banger-abuse");
        assert!(!own.exists(), "{lie}: files are in the home of this host's root");
    }

    /// The daemon's memory.
    pub fn daemon_memory(&self) -> Memory {
        Memory::of(self.daemon.id())
    }

    /// The end of a run, after which the daemon keeps little more memory than it had `before`. `what` was done meanwhile.
    pub fn end_within(self, before: u64, what: &str) {
        let after = self.daemon_memory().settled(before + MORE_MEMORY);
        println!(
            "{what}; the daemon had {} KiB and has {} KiB",
            before >> 10,
            after >> 10
        );
        assert!(
            after <= before + MORE_MEMORY,
            "the daemon keeps {after} bytes, {before} before"
        );
        self.end();
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

impl Stage for Host {
    /// With nothing of this process's surroundings.
    fn banger(&self, arguments: &[&str]) -> Command {
        let mut command = surrounded(self.root(), "banger");
        command.args(arguments).current_dir(self.work());
        command
    }

    fn work(&self) -> PathBuf {
        self.root().join("home/work")
    }

    fn project(&self) -> PathBuf {
        self.root().join("home/project")
    }

    fn workspace(&self) -> PathBuf {
        self.root().join("workspace")
    }

    /// A simulated guest has the files of its host.
    fn guest(&self) -> PathBuf {
        self.root().join("guest")
    }

    fn liar(&self, lie: Lie) -> &'static str {
        if lie.is_of_the_wire() { WIRED } else { LIAR }
    }
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
