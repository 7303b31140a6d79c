//! `/init` before an initrd that the image brings, and the process beside that initrd.
//!
//! ```text
//!  PID 1:  proc, dev ─► modules ─► (starts) ─► the initrd's /init ─► … ─► the image's init, in its own root
//!                                     │
//!  beside:                            └─ waits until PID 1 has another root ─► enters it ─► keeps the agent
//! ```
//! The initrd mounts the root as it always does: it finds the machine as the kernel gave it, and its own `/init` where
//! it was. Whatever it deletes or moves, the process beside it holds what it needs.

use std::convert::Infallible;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::agent::{self, log};
use super::early::make_folder;
use super::parameters::powers_off_by_reset;
use super::{InitError, handover, keeper, modules, systemd};

/// What the kernel is told to execute.
pub const DIRECT_INIT: &str = "/banger/init";

/// `argv[0]` of the process beside. The `@` asks an initrd with systemd to leave it alive.
pub const BESIDE_NAME: &str = "@banger-beside";

const MODULES: &str = "/banger/modules";

/// The initrd's own.
const INIT: &str = "/init";

/// What is mounted until the initrd takes over.
const MOUNTS: [(&str, &CStr); 2] = [("/proc", c"proc"), ("/dev", c"devtmpfs")];

/// Rest between two looks at another process.
const LOOK: Duration = Duration::from_millis(10);

/// How long the image's init may take to mount what every program needs, and systemd to settle the file systems.
const LONGEST: Duration = Duration::from_secs(60);

/// Starts the process beside, and becomes the initrd's `/init`.
pub(super) fn run() -> Result<Infallible, InitError> {
    for (path, file_system) in MOUNTS {
        make_folder(path)?;
        mount(file_system, path, file_system, MountFlags::NOSUID, None).map_err(|error| {
            InitError::Mount {
                what: path.to_owned(),
                source: error.into(),
            }
        })?;
    }
    // Asked while it can be: a failure below ends the machine.
    powers_off_by_reset();
    modules::load_all(MODULES)?;
    let failed = |step| move |source| InitError::Agent { step, source };
    let binary = agent::copy_binary()?;
    let proc = open_folder(Path::new("/proc")).map_err(failed("open /proc for"))?;
    agent::spawn(&binary, BESIDE_NAME, &[], proc.into()).map_err(failed("spawn what starts"))?;
    for (path, _) in MOUNTS {
        // The process beside has its own hold on what it still uses.
        unmount(path, UnmountFlags::DETACH).map_err(|error| InitError::Mount {
            what: format!("{path} away"),
            source: error.into(),
        })?;
    }
    Err(InitError::Initrd(handover::execute(Path::new(INIT))))
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// The process beside the initrd: follows PID 1 into the image's root, and keeps the agent there. Its stdin is
/// `/proc`, which is mounted nowhere by then.
///
/// # Errors
/// The root cannot be entered, or the agent not started.
pub fn beside() -> io::Result<()> {
    let _ = rustix::thread::set_name(c"banger-beside");
    let _ = rustix::process::setsid();
    let root = other_root(io::stdin().as_fd())?;
    rustix::process::fchdir(root)?;
    rustix::process::chroot(".")?;
    wait_for("what every program needs", || {
        Path::new("/proc/self/exe").exists() && Path::new("/dev/null").exists()
    })?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    // A machine without control groups, or with those of old, has commands without groups.
    if let Err(error) = agent::make_group()
        .map_err(io::Error::other)
        .and_then(|()| agent::join_group(0))
    {
        log(&format!("commands get no control groups: {error}"));
    }
    if let Err(error) = wait_for("systemd's basic targets", is_settled) {
        log(&error.to_string());
    }
    if let Err(error) = crate::layer::grow("/") {
        log(&format!("the root does not grow into its disk: {error}"));
    }
    systemd::offer_end(Path::new("/proc/1/exe"), std::process::id());
    keeper::keep(&[])
}

/// The root of PID 1, as soon as it is another one than ours.
fn other_root(proc: impl AsFd) -> io::Result<OwnedFd> {
    let identity = |about: rustix::fs::Stat| (about.st_dev, about.st_ino);
    let ours = identity(rustix::fs::stat("/")?);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    loop {
        let root = rustix::fs::openat(&proc, "1/root", flags, Mode::empty())?;
        if identity(rustix::fs::fstat(&root)?) != ours {
            return Ok(root);
        }
        sleep(LOOK);
    }
}

/// Whether what a command writes now stays: systemd has mounted its file systems and cleared `/tmp`. Of other inits
/// there is nothing to ask.
fn is_settled() -> bool {
    let program = fs::read_link("/proc/1/exe").unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    // What the initrd ends with, on its way to the init; it lies in a root that is gone.
    if name.is_empty() || name.ends_with("(deleted)") {
        return false;
    }
    if name != "systemd" {
        return true;
    }
    let mut question = Command::new("/usr/bin/systemctl");
    let question = question.args(["is-active", "--quiet", "sysinit.target"]);
    let answer = question.stdout(Stdio::null()).stderr(Stdio::null()).status();
    // One that cannot be asked is not waited for.
    answer.map_or(true, |status| status.success())
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) -> io::Result<()> {
    let deadline = Instant::now() + LONGEST;
    let mut rest = LOOK;
    while !there() {
        if Instant::now() > deadline {
            let line = format!("{what} did not come within {LONGEST:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, line));
        }
        sleep(rest);
        // A question can cost as much as the rest.
        rest = (rest * 2).min(LOOK * 16);
    }
    Ok(())
}
