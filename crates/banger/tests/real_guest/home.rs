//! A home with a kernel and an image, and `banger` in it.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::kept;

/// Longest wait for something that must happen; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Surroundings of one test. Dropped, everything that runs in them ends.
pub struct Home {
    folder: TempDir,
}

/// What a command left.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Home {
    /// One with the small image, which is its default, and its kernel.
    pub fn new() -> Self {
        let home = Self::bare(tempfile::tempdir().unwrap());
        kept::link_into(&home.state());
        home
    }

    /// One that has no image yet.
    pub fn bare(folder: TempDir) -> Self {
        let config = folder.path().join("config/banger");
        fs::create_dir_all(&config).unwrap();
        // What banger's own default has besides would only take longer to build.
        let mut lines = "default_image_name = \"debian-minimal\"\n".to_owned();
        // Which VMM it is to be, and how.
        if let Ok(more) = std::env::var("BANGER_TEST_CONFIG") {
            lines += &more;
        }
        fs::write(config.join("config.toml"), lines).unwrap();
        Self { folder }
    }

    /// Adds to the configuration.
    pub fn configure(&self, text: &str) {
        let path = self.folder.path().join("config/banger/config.toml");
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, before + text).unwrap();
    }

    /// The user's home.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state/banger")
    }

    /// Folders of the VMs that there are.
    pub fn vm_folders(&self) -> Vec<PathBuf> {
        fs::read_dir(self.state().join("vms"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.surrounded(binaries().join("banger"));
        command.args(arguments);
        command
    }

    /// A program in these surroundings.
    pub fn surrounded(&self, program: impl AsRef<OsStr>) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder.join("config"))
            .env("XDG_STATE_HOME", folder.join("state"))
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .env("XDG_RUNTIME_DIR", folder.join("run"))
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        finished(self.command(arguments).output().unwrap())
    }

    /// Runs a command that must succeed, and gives its output.
    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.err);
        finished.out
    }

    /// Runs a command with this on its stdin.
    pub fn run_with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut child = self.spawn(self.command(arguments).stdin(Stdio::piped()));
        let mut pipe = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || pipe.write_all(stdin).unwrap());
            child.wait_with_output().unwrap()
        })
    }

    pub fn spawn(&self, command: &mut Command) -> Child {
        command.spawn().unwrap()
    }

    /// The daemon's process id.
    pub fn daemon(&self) -> Pid {
        let version: serde_json::Value =
            serde_json::from_str(&self.succeeds(&["version", "--json"])).unwrap();
        let pid = version["daemon"]["pid"].as_i64().expect("a daemon runs");
        Pid::from_raw(i32::try_from(pid).unwrap())
    }

    /// What runs in these surroundings: the command line of each process that has the folder in its environment, its
    /// arguments, as its working directory or below it an open file, and each VMM that a record tells of.
    pub fn processes(&self) -> Vec<(Pid, String)> {
        let folder = self.folder.path();
        let needle = folder.as_os_str().as_encoded_bytes();
        let contains = |bytes: Vec<u8>| bytes.windows(needle.len()).any(|window| window == needle);
        let vmms = self.recorded_vmms();
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                let process = PathBuf::from(format!("/proc/{pid}"));
                let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
                let below = |link: PathBuf| fs::read_link(link).is_ok_and(|path| path.starts_with(folder));
                // A confined VMM knows the folder by nothing but its open disks.
                let open = || {
                    let files = fs::read_dir(process.join("fd")).ok()?;
                    Some(files.flatten().any(|file| below(file.path())))
                };
                below(process.join("cwd"))
                    || contains(read("environ"))
                    || contains(read("cmdline"))
                    || open() == Some(true)
                    || vmms.contains(pid)
            })
            .map(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                (
                    Pid::from_raw(pid),
                    String::from_utf8_lossy(&line).replace('\0', " "),
                )
            })
            .filter(|(_, line)| !line.is_empty())
            .collect()
    }

    /// The VMMs by their records: Firecracker opens its disks by itself, by names in a root of its own.
    fn recorded_vmms(&self) -> Vec<i32> {
        let folders = fs::read_dir(self.state().join("vms")).into_iter().flatten();
        folders
            .filter_map(|folder| {
                let record = fs::read(folder.ok()?.path().join("process.json")).ok()?;
                let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
                i32::try_from(record["pid"].as_i64()?).ok()
            })
            .filter(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                is_vmm(&String::from_utf8_lossy(&line).replace('\0', " "))
            })
            .collect()
    }

    /// Ends the daemon as `kill` would and waits for its end; VMs go on.
    pub fn end_daemon(&self, signal: Signal) {
        let daemon = self.daemon();
        kill(daemon, signal).unwrap();
        wait_for("the daemon's end", || {
            !self.processes().iter().any(|(pid, _)| *pid == daemon)
        });
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The daemon first: it would take note of the others' ends.
        for name in ["bangerd", ""] {
            for (pid, line) in self.processes() {
                if line.contains(name) {
                    let _ = kill(pid, Signal::SIGKILL);
                }
            }
        }
        if !std::thread::panicking() {
            wait_for("the end of what the test left", || self.processes().is_empty());
        }
    }
}

/// Whether a process is a VMM, by its command line.
pub fn is_vmm(line: &str) -> bool {
    line.contains("qemu-system") || line.contains("firecracker --id")
}

/// Reads a stream up to a text.
pub fn read_until(stream: &mut impl Read, text: &str) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&read).contains(text) {
        let count = stream.read(&mut byte).unwrap_or(0);
        assert_eq!(
            count,
            1,
            "ended before {text:?}: {}",
            String::from_utf8_lossy(&read)
        );
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Waits for something that has no event of its own.
pub fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn finished(output: Output) -> Finished {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Where the binaries under test are.
pub fn binaries() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("BANGER_TEST_BIN").map_or_else(|| root.join("build/bin"), PathBuf::from);
    for name in ["banger", "bangerd", "banger-vsock-agent"] {
        let binary = folder.join(name);
        assert!(
            binary.is_file(),
            "{} is missing: run `make build`",
            binary.display()
        );
    }
    folder
}
