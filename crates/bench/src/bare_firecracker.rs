//! A Firecracker by a bare script: no wall around it, and no daemon.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::command::run;
use crate::error::BenchError;

/// Longest that a guest which only ends may take.
const ENDS: Timespec = Timespec {
    tv_sec: 120,
    tv_nsec: 0,
};

/// Programs that are not banger's.
#[derive(Debug, clap::Args)]
pub struct Programs {
    /// The Firecracker that is measured.
    #[arg(long)]
    firecracker: PathBuf,
    /// The script that starts one by curl.
    #[arg(long)]
    bare_start: PathBuf,
    /// The script that pauses, saves and loads one by curl.
    #[arg(long)]
    bare_snapshot: PathBuf,
    /// The program that does the same by the crate `vmm`.
    #[arg(long)]
    pub firecracker_times: PathBuf,
}

impl Programs {
    /// The configuration of a banger that runs its VMs on it.
    pub fn settings(&self) -> Result<String, BenchError> {
        let firecracker = absolute(&self.firecracker)?;
        Ok(format!(
            "vmm = \"firecracker\"\nfirecracker_bin = \"{}\"\n",
            firecracker.display()
        ))
    }
}

/// Firecrackers that are made of the same files.
#[derive(Debug)]
pub struct Bare {
    start: PathBuf,
    snapshot: PathBuf,
    /// The program.
    pub firecracker: PathBuf,
    /// `kernel`, `initramfs` and `drive0` to `drive2`.
    pub folder: PathBuf,
    /// Of each.
    pub memory_mib: u64,
}

impl Bare {
    /// None runs yet, and the folder is still to be filled.
    pub fn of(programs: &Programs, folder: PathBuf, memory_mib: u64) -> Result<Self, BenchError> {
        Ok(Self {
            start: absolute(&programs.bare_start)?,
            snapshot: absolute(&programs.bare_snapshot)?,
            firecracker: absolute(&programs.firecracker)?,
            folder,
            memory_mib,
        })
    }

    /// Takes the same files as the machine of a VM; what that may write is copied.
    pub fn take_parts(&self, vm: &Path) -> Result<(), BenchError> {
        fs::create_dir(&self.folder).map_err(BenchError::file("create", &self.folder))?;
        for name in ["kernel", "initramfs", "drive0", "drive1", "drive2"] {
            let from = vm.join("firecracker").join(name);
            let to = self.folder.join(name);
            let from = fs::canonicalize(&from).map_err(BenchError::file("find", &from))?;
            if name == "drive1" {
                run(Command::new("cp").arg("--sparse=always").args([&from, &to]))?;
            } else {
                symlink(&from, &to).map_err(BenchError::file("take", &from))?;
            }
        }
        Ok(())
    }

    /// Starts one, until it has answered `InstanceStart`.
    pub fn start(&self) -> Result<(Duration, Process), BenchError> {
        self.start_with("console=ttyS0")
    }

    /// The same with a command line of the kernel's.
    pub fn start_with(&self, command_line: &str) -> Result<(Duration, Process), BenchError> {
        let said = run(Command::new(&self.start)
            .args([&self.firecracker, &self.folder])
            .arg(self.memory_mib.to_string())
            .arg(command_line))?;
        Ok((said.took, Process::of(&said.stdout)?))
    }

    /// From the start of one until its guest has ended it.
    pub fn boot_and_end(&self, command_line: &str) -> Result<Duration, BenchError> {
        let began = Instant::now();
        let (_, process) = self.start_with(command_line)?;
        process.wait()?;
        Ok(began.elapsed())
    }

    /// Lets one run for a while; then how long a pause, a snapshot and a load of it take.
    pub fn snapshot(&self, runs_for: Duration) -> Result<[Duration; 3], BenchError> {
        let (_, process) = self.start()?;
        thread::sleep(runs_for);
        let said = run(Command::new(&self.snapshot)
            .args([&self.firecracker, &self.folder])
            .arg(process.0.as_raw_nonzero().to_string()))?;
        Process::of(
            said.stdout
                .split(|&byte| byte == b'\n')
                .nth(3)
                .unwrap_or_default(),
        )?
        .end()?;
        durations(&said.stdout)
    }
}

/// A process that a script has left running.
pub struct Process(Pid);

impl Process {
    fn of(said: &[u8]) -> Result<Self, BenchError> {
        let said = String::from_utf8_lossy(said);
        let pid = said.trim().parse().ok().and_then(Pid::from_raw);
        pid.map(Self)
            .ok_or_else(|| BenchError::Unexpected(format!("a script told no pid: {said}")))
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// Kills it.
    pub fn end(self) -> Result<(), BenchError> {
        let process = pidfd_open(self.0, PidfdFlags::empty()).map_err(failed)?;
        pidfd_send_signal(&process, Signal::KILL).map_err(failed)
    }

    /// Waits for it to end by itself.
    fn wait(self) -> Result<(), BenchError> {
        let process = match pidfd_open(self.0, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(()),
            process => process.map_err(failed)?,
        };
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&ENDS)).map_err(failed)? {
            0 => {
                pidfd_send_signal(&process, Signal::KILL).map_err(failed)?;
                Err(BenchError::Stuck {
                    program: "a guest that only ends".to_owned(),
                    seconds: 120,
                })
            }
            _ => Ok(()),
        }
    }
}

fn failed(error: Errno) -> BenchError {
    BenchError::Run {
        program: "a Firecracker by script".to_owned(),
        source: error.into(),
    }
}

/// Three numbers of microseconds.
pub fn durations(said: &[u8]) -> Result<[Duration; 3], BenchError> {
    let said = String::from_utf8_lossy(said);
    let mut numbers = said.split_whitespace().map(str::parse).map_while(Result::ok);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(pause), Some(snapshot), Some(load)) => Ok([pause, snapshot, load].map(Duration::from_micros)),
        _ => Err(BenchError::Unexpected(format!("not three times: {said}"))),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, BenchError> {
    fs::canonicalize(path).map_err(BenchError::file("find", path))
}
