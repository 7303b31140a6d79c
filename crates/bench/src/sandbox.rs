//! A banger of this run's own: its state, cache and sockets lie in a temporary folder and go with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Ended, run};
use crate::error::BenchError;

/// How long the daemon may take to end.
const DAEMON_ENDS: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// Where banger is measured.
#[derive(Debug)]
pub struct Sandbox {
    banger: PathBuf,
    folder: TempDir,
}

/// A running VM as `banger vm show` tells of it.
#[derive(Debug)]
pub struct Shown {
    /// Its VMM's process.
    pub pid: u32,
    /// `qemu/tcg` or `qemu/kvm`.
    pub vmm: String,
    /// Kernel and its version.
    pub kernel: String,
    /// Its image.
    pub image: String,
    /// Virtual processors.
    pub vcpu: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Its folder on the host.
    pub folder: PathBuf,
}

impl Sandbox {
    /// One whose VMs are of the small image, of which the figures are. `bin` is where banger's three binaries lie.
    pub fn new(bin: &Path) -> Result<Self, BenchError> {
        Self::with(bin, "default_image_name = \"debian-minimal\"\n")
    }

    /// Makes the folders and writes this configuration.
    pub fn with(bin: &Path, settings: &str) -> Result<Self, BenchError> {
        // Short, since sockets are made below it.
        let folder = tempfile::Builder::new()
            .prefix("bb-")
            .tempdir()
            .map_err(BenchError::file("create", "a temporary folder"))?;
        for name in ["config", "state", "cache", "run"] {
            let path = folder.path().join(name);
            fs::create_dir(&path).map_err(BenchError::file("create", path))?;
        }
        let config = folder.path().join("config/banger");
        fs::create_dir(&config).map_err(BenchError::file("create", &config))?;
        let config = config.join("config.toml");
        fs::write(&config, settings).map_err(BenchError::file("write", &config))?;
        let runtime = folder.path().join("run");
        fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(BenchError::file("restrict", runtime))?;
        let banger = bin
            .join("banger")
            .canonicalize()
            .map_err(BenchError::file("find", bin.join("banger")))?;
        Ok(Self { banger, folder })
    }

    /// Gives it the kernel and the image of another state folder, whose daemon does not run.
    pub fn take_kept(&self, state: &Path) -> Result<(), BenchError> {
        let own = self.folder.path().join("state/banger");
        fs::create_dir(&own).map_err(BenchError::file("create", &own))?;
        fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(BenchError::file("restrict", &own))?;
        let parts = ["images", "kernels", "banger.db", "banger.db-wal"].map(|name| state.join(name));
        let parts = parts.iter().filter(|part| part.exists());
        run(Command::new("cp").arg("-a").args(parts).arg(&own)).map(drop)
    }

    /// Scratch space of this run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `banger` with these arguments, in this sandbox.
    pub fn banger(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.banger);
        self.surround(command.args(arguments));
        command
    }

    /// Gives a program this sandbox.
    pub fn surround<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env_remove("BANGER_SOCKET").env("NO_COLOR", "1");
        for (variable, name) in [
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            command.env(variable, self.folder.path().join(name));
        }
        command
    }

    /// Runs `banger` to a successful end.
    pub fn run(&self, arguments: &[&str]) -> Result<Ended, BenchError> {
        run(&mut self.banger(arguments))
    }

    /// What banger says of a VM that runs.
    pub fn show(&self, vm: &str) -> Result<Shown, BenchError> {
        let shown: Value = serde_json::from_slice(&self.run(&["vm", "show", "--json", vm])?.stdout)
            .map_err(|error| BenchError::Unexpected(format!("`vm show --json`: {error}")))?;
        let text = |key: &str| {
            shown[key]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| BenchError::Unexpected(format!("`vm show` has no {key}")))
        };
        let number = |key: &str| {
            shown[key]
                .as_u64()
                .ok_or_else(|| BenchError::Unexpected(format!("`vm show` has no {key}")))
        };
        let pid = u32::try_from(number("pid")?)
            .map_err(|_| BenchError::Unexpected("a pid out of range".to_owned()))?;
        Ok(Shown {
            pid,
            vmm: text("vmm")?,
            kernel: text("kernel")?,
            image: text("image")?,
            vcpu: number("vcpu")?,
            memory_mib: number("memory_mib")?,
            folder: self.folder.path().join("state/banger/vms").join(text("id")?),
        })
    }

    /// The daemon's process, if one answers.
    fn daemon(&self) -> Option<Pid> {
        let version = self.run(&["version", "--json"]).ok()?;
        let version: Value = serde_json::from_slice(&version.stdout).ok()?;
        let pid = version["daemon"]["pid"]
            .as_i64()
            .or_else(|| version["pid"].as_i64())?;
        Pid::from_raw(i32::try_from(pid).ok()?)
    }

    /// Bytes that the daemon has resident.
    pub fn daemon_resident(&self) -> Result<u64, BenchError> {
        self.daemon_status("VmRSS:")
    }

    /// Most bytes that the daemon had resident since [`Sandbox::forget_daemon_peak`].
    pub fn daemon_peak(&self) -> Result<u64, BenchError> {
        self.daemon_status("VmHWM:")
    }

    /// Begins to look for the most that the daemon has resident.
    pub fn forget_daemon_peak(&self) -> Result<(), BenchError> {
        let path = format!("/proc/{}/clear_refs", self.some_daemon()?.as_raw_nonzero());
        // "5" resets the high-water mark: proc(5).
        fs::write(&path, "5").map_err(BenchError::file("write", &path))
    }

    /// The daemon's process.
    pub fn daemon_pid(&self) -> Result<i32, BenchError> {
        Ok(self.some_daemon()?.as_raw_nonzero().get())
    }

    fn some_daemon(&self) -> Result<Pid, BenchError> {
        let none = || BenchError::Unexpected("no daemon answers".to_owned());
        self.daemon().ok_or_else(none)
    }

    fn daemon_status(&self, key: &str) -> Result<u64, BenchError> {
        let path = format!("/proc/{}/status", self.some_daemon()?.as_raw_nonzero());
        let status = fs::read_to_string(&path).map_err(BenchError::file("read", &path))?;
        let none = || BenchError::Unexpected(format!("{path} has no {key}"));
        let kibibytes = status.lines().find_map(|line| {
            line.strip_prefix(key)?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        });
        kibibytes.map(|kibibytes| kibibytes << 10).ok_or_else(none)
    }

    /// Deletes the VMs that are left and ends the daemon. The folder goes with `self`.
    pub fn close(self) -> Result<(), BenchError> {
        let ids = self.run(&["ps", "-a", "-q"])?.stdout;
        let ids = String::from_utf8_lossy(&ids).into_owned();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            self.run(&[&["vm", "delete"], ids.as_slice()].concat())?;
        }
        let Some(pid) = self.daemon() else { return Ok(()) };
        let failed = |error: rustix::io::Errno| BenchError::Run {
            program: "bangerd".to_owned(),
            source: error.into(),
        };
        let daemon = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
        pidfd_send_signal(&daemon, Signal::TERM).map_err(failed)?;
        match poll(&mut [PollFd::new(&daemon, PollFlags::IN)], Some(&DAEMON_ENDS)).map_err(failed)? {
            0 => Err(BenchError::Stuck {
                program: "bangerd".to_owned(),
                seconds: 30,
            }),
            _ => Ok(()),
        }
    }
}

/// Runs two things in turn, so that what else happens on the host meets both.
pub fn in_turn(
    runs: usize,
    mut first: impl FnMut() -> Result<Duration, BenchError>,
    mut second: impl FnMut() -> Result<Duration, BenchError>,
) -> Result<(Vec<Duration>, Vec<Duration>), BenchError> {
    let began = Instant::now();
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        of_first.push(first()?);
        of_second.push(second()?);
        eprintln!("  {run} of {runs}, {:.0} s", began.elapsed().as_secs_f64());
    }
    Ok((of_first, of_second))
}
