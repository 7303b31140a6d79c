//! The agent beside the init: a process of its own, from a copy of this binary that no file of the image touches.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::pipe::PipeFlags;

use super::{InitError, early};

/// `argv[0]` of the agent. The `@` asks systemd to leave it alive until the power goes.
pub const AGENT_NAME: &str = "@banger-agent";

/// Tells the agent that its stdin is the pipe it reports its configuration on.
const HANDOVER: &str = "--handover";

const CGROUP: &str = "/sys/fs/cgroup";
const GROUP: &str = "/sys/fs/cgroup/banger/agent";

/// The running agent, and what it is started from again if it dies.
#[derive(Debug)]
pub(super) struct Agent {
    binary: OwnedFd,
    child: Child,
}

/// Copies this binary into a sealed memory file.
pub(super) fn copy_binary() -> Result<OwnedFd, InitError> {
    copy("/proc/self/exe").map_err(|source| InitError::Agent {
        step: "copy the binary",
        source,
    })
}

fn copy(path: &str) -> io::Result<OwnedFd> {
    let mut from = File::open(path)?;
    let mut to = File::from(rustix::fs::memfd_create(
        "banger-agent",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?);
    io::copy(&mut from, &mut to)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&to, seals)?;
    Ok(to.into())
}

/// Mounts the control groups and makes the agent's: outside any that an init manages, since systemd would take the
/// agent into its own scope, and end it with `isolate` or a rescue shell.
pub(super) fn make_group() -> Result<(), InitError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mount_with = |options: &CStr| mount(c"cgroup2", CGROUP, c"cgroup2", flags, Some(options));
    // Without `favordynmods` (Linux 6.0) each command that enters its group waits for a grace period: tens of
    // milliseconds.
    match mount_with(c"nsdelegate,memory_recursiveprot,favordynmods") {
        Err(Errno::INVAL) => mount_with(c"nsdelegate,memory_recursiveprot"),
        result => result,
    }
    .map_err(|error| InitError::Mount {
        what: CGROUP.to_owned(),
        source: error.into(),
    })?;
    for group in ["/sys/fs/cgroup/banger", GROUP] {
        early::make_folder(group)?;
    }
    Ok(())
}

impl Agent {
    /// Starts the agent, under this name or its keeper's. The pipe's other end becomes readable once the agent is
    /// configured, or has died.
    pub(super) fn start(binary: OwnedFd, name: &str) -> Result<(Self, OwnedFd), InitError> {
        let failed = |step| move |source| InitError::Agent { step, source };
        let (handover, reports) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
            .map_err(io::Error::from)
            .map_err(failed("make a pipe"))?;
        let child = spawn_with(&binary, name, Some(reports)).map_err(failed("spawn"))?;
        Ok((Self { binary, child }, handover))
    }

    /// Starts the agent from the binary that this process runs.
    pub(super) fn beside(reports: Option<OwnedFd>) -> io::Result<Self> {
        let binary = File::open("/proc/self/exe")?.into();
        let child = spawn_with(&binary, AGENT_NAME, reports)?;
        Ok(Self { binary, child })
    }

    /// Starts it again, after its end.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.child = spawn_with(&self.binary, AGENT_NAME, None)?;
        Ok(())
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

fn spawn_with(binary: &OwnedFd, name: &str, reports: Option<OwnedFd>) -> io::Result<Child> {
    let child = match reports {
        Some(reports) => spawn(binary, name, &[HANDOVER], reports.into()),
        None => spawn(binary, name, &[], Stdio::null()),
    }?;
    // Before the image's init runs, so that it never finds the agent in the root group.
    join_group(child.id())?;
    Ok(child)
}

/// Starts a process from a copy of this binary; what it says is in the kernel's log.
pub(super) fn spawn(binary: &OwnedFd, name: &str, arguments: &[&str], stdin: Stdio) -> io::Result<Child> {
    let log = OpenOptions::new().write(true).open("/dev/kmsg")?;
    Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()))
        .arg0(name)
        .args(arguments)
        .stdin(stdin)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// Puts a process (0: this one) into the agent's group; into none on a machine that booted directly and has none.
pub(super) fn join_group(process: u32) -> io::Result<()> {
    match early::write(&format!("{GROUP}/cgroup.procs"), &process.to_string()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// What the agent and its keeper do first: a session of their own, a name, and the pipe that PID 1 waits on taken off
/// their stdin.
///
/// # Errors
/// When the pipe cannot be kept or `/dev/null` not opened.
pub fn enter(name: &CStr, arguments: &[std::ffi::OsString]) -> io::Result<Option<OwnedFd>> {
    // Started from a memory file, it would be named after a number.
    let _ = rustix::thread::set_name(name);
    // Fails for a process that leads its group, as one started by hand may: then it has what it needs.
    let _ = rustix::process::setsid();
    if !arguments.iter().any(|argument| argument == HANDOVER) {
        return Ok(None);
    }
    let stdin = io::stdin();
    let reports = stdin.as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(Some(reports))
}

/// A guest that runs out of memory loses what fills it, not the way in. Without this nothing but that is lost.
pub fn survive_memory_shortage() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
}

/// Says something in the kernel's log.
pub(super) fn log(line: &str) {
    // Each write is an entry of its own there, and without its end it stays hidden until the next one. Nobody is
    // told if even that fails.
    let _ = early::write("/dev/kmsg", &format!("banger: {line}\n"));
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn the_copied_binary_is_whole_and_can_never_change() {
        let copied = copy("/proc/self/exe").unwrap();
        let mut copied = File::from(copied);
        let (mut bytes, original) = (Vec::new(), std::fs::read("/proc/self/exe").unwrap());
        copied.rewind().unwrap();
        copied.read_to_end(&mut bytes).unwrap();
        assert!(bytes == original);
        copied.rewind().unwrap();
        assert!(copied.write_all(b"x").is_err());
        assert!(copied.set_len(0).is_err());
    }
}
