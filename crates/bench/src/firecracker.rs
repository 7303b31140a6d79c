//! Firecracker under banger against Firecracker by a bare script: a start, from the request to the daemon until the
//! guest runs, and pause, snapshot and load by the crate that drives it.
//!
//! No guest has to execute for it, so it needs no KVM that works: `/dev/kvm` has to open.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::bare_firecracker::{Bare, Programs};
use crate::command::run;
use crate::error::BenchError;
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, times};

/// The VM.
const VM: &str = "idle";
const MEMORY_MIB: u64 = 128;
/// Most that a start may take of the script's time.
const MOST: f64 = 1.3;
/// How long a daemon may take to undo a start.
const UNDONE: Duration = Duration::from_secs(30);

/// Measures `runs` of each.
pub fn measure(bin: &Path, programs: &Programs, runs: usize) -> Result<Vec<Section>, BenchError> {
    let sandbox = Sandbox::with(bin, &programs.settings()?)?;
    let measured = both(&sandbox, programs, runs);
    let closed = sandbox.close();
    let sections = measured?;
    closed?;
    Ok(sections)
}

fn both(sandbox: &Sandbox, programs: &Programs, runs: usize) -> Result<Vec<Section>, BenchError> {
    make_vm(sandbox, &programs.firecracker_times)?;
    let daemon = Daemon::of(sandbox)?;
    let bare = Bare::of(programs, sandbox.folder().join("bare"), MEMORY_MIB)?;
    // The first of each does not count; the script gets what the VM's machine is made of.
    daemon.start(|| bare.take_parts(&daemon.vm_folder))?;
    bare.start()?.1.end()?;
    let by_script = || {
        let (took, process) = bare.start()?;
        process.end()?;
        Ok(took)
    };
    let (script, banger) = in_turn(runs, by_script, || daemon.start(|| Ok(())))?;
    let (script, banger) = (times(script)?, times(banger)?);
    let start = Section {
        only_ratios: false,
        title: "A Firecracker start".to_owned(),
        says: "From the request to the daemon (`POST …/start`) until Firecracker has answered `InstanceStart`. The floor \
               is a script that starts the same Firecracker without any wall around it and makes the same calls by \
               `curl`, with the same kernel, initramfs and drives, from its start to its end."
            .to_owned(),
        goals: vec![Goal {
            text: format!("at most {MOST} × the script"),
            met: banger.ratio_to(&script) <= MOST,
        }],
        rows: vec![Row::floor("script", &script), Row::beside("banger", &banger, &script)],
    };
    let snapshots = crate::snapshots::measure(&bare, &programs.firecracker_times, Duration::ZERO, runs)?;
    Ok(vec![start, snapshots])
}

/// A VM of a kernel that does nothing and of an empty root disk: no mirror is needed for it.
fn make_vm(sandbox: &Sandbox, program: &Path) -> Result<(), BenchError> {
    let folder = sandbox.folder().join("kernel");
    fs::create_dir(&folder).map_err(BenchError::file("create", &folder))?;
    run(Command::new(program).arg("kernel").arg(folder.join("vmlinux")))?;
    let disk = sandbox.folder().join("disk.ext4");
    run(Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-q", "-t", "ext4"])
        .arg(&disk)
        .arg("8M"))?;
    let (folder, disk) = (folder.to_string_lossy(), disk.to_string_lossy());
    sandbox.run(&["kernel", "import", VM, "--from", &folder])?;
    sandbox.run(&[
        "image",
        "register",
        "-q",
        "--name",
        VM,
        "--rootfs",
        &disk,
        "--kernel-ref",
        VM,
    ])?;
    let memory = format!("{MEMORY_MIB}M");
    sandbox.run(&[
        "vm",
        "create",
        "--no-start",
        "-q",
        "--name",
        VM,
        "--image",
        VM,
        "--network",
        "none",
        "--vcpu",
        "1",
        "--memory",
        &memory,
    ])?;
    Ok(())
}

/// The daemon, asked by its socket.
struct Daemon {
    socket: PathBuf,
    vm_folder: PathBuf,
}

impl Daemon {
    fn of(sandbox: &Sandbox) -> Result<Self, BenchError> {
        let told = sandbox.run(&["daemon", "socket"])?.stdout;
        let vms = sandbox.folder().join("state/banger/vms");
        Ok(Self {
            socket: String::from_utf8_lossy(&told).trim().into(),
            vm_folder: crate::bare_qemu::only_entry(&vms)?,
        })
    }

    /// Starts the VM until its machine runs, and has all of it undone after `meanwhile`.
    fn start(&self, meanwhile: impl FnOnce() -> Result<(), BenchError>) -> Result<Duration, BenchError> {
        let began = Instant::now();
        let mut stream = self.ask("POST", &format!("/v1/vms/{VM}/start"))?;
        let mut said = Vec::new();
        let mut piece = [0; 4096];
        while !has(&said, "\"start.machine\"") {
            match stream.read(&mut piece) {
                Ok(length @ 1..) if !has(&said, "\"failed\"") => said.extend(&piece[..length]),
                _ => {
                    let said = String::from_utf8_lossy(&said).into_owned();
                    return Err(BenchError::Unexpected(format!("a start that fails: {said}")));
                }
            }
        }
        let took = began.elapsed();
        meanwhile()?;
        // Who asked for it is gone, so it is cancelled.
        drop(stream);
        self.until_undone()?;
        Ok(took)
    }

    fn until_undone(&self) -> Result<(), BenchError> {
        let deadline = Instant::now() + UNDONE;
        while Instant::now() < deadline {
            let mut said = Vec::new();
            let mut stream = self.ask("GET", &format!("/v1/vms/{VM}"))?;
            stream
                .read_to_end(&mut said)
                .map_err(BenchError::file("read from", &self.socket))?;
            if !has(&said, "\"starting\"") && !self.vm_folder.join("process.json").exists() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(BenchError::Stuck {
            program: "an undo".to_owned(),
            seconds: UNDONE.as_secs(),
        })
    }

    fn ask(&self, method: &str, path: &str) -> Result<UnixStream, BenchError> {
        let failed = || BenchError::file("connect to", &self.socket);
        let mut stream = UnixStream::connect(&self.socket).map_err(failed())?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: banger\r\naccept: application/x-ndjson\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).map_err(failed())?;
        Ok(stream)
    }
}

fn has(said: &[u8], word: &str) -> bool {
    said.windows(word.len()).any(|window| window == word.as_bytes())
}
