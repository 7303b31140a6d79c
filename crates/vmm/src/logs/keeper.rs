//! The process that keeps the logs of a daemon's machines. It is handed each machine's pipes over a socket, reads them
//! until their VMM has ended, and ends when the daemon has and the last of them too.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, fcntl_setfl, flock, open};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::kept::Kept;
use super::{LOGS, READY, VERB};

/// What is read at once; a pipe holds as much.
const CHUNK: usize = 1 << 16;
/// Pause after each read. A serial port gives a byte at a time: without it, each byte would wake this process.
const PAUSE: Duration = Duration::from_millis(10);
/// Descriptors beside the pipes: where to answer.
const OTHERS: usize = 1;
/// Longest name of a folder (`NAME_MAX`).
const LONGEST_NAME: usize = 255;
/// What a thread needs that moves bytes.
const STACK: usize = 64 << 10;
/// How often, and how soon after each other, a lock is tried that whoever looks at it has for a moment.
const TRIES: usize = 50;
const AGAIN: Duration = Duration::from_millis(1);

/// Does the work of the log keeper and gives its exit code, if this process was started as one.
///
/// Call it first of all in `main` of a program that starts machines.
#[must_use]
pub fn keep_logs_if_asked() -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != VERB {
        return None;
    }
    let machines = PathBuf::from(std::env::args_os().nth(2)?);
    Some(match serve(rustix::stdio::stdout(), &machines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot keep the logs of VMs: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Takes machines until the daemon's end of the socket is closed, then waits for the end of the last one.
fn serve(daemon: impl AsFd, machines: &Path) -> io::Result<()> {
    allow_many_files();
    thread::scope(|scope| {
        while let Some(job) = Job::receive(&daemon)? {
            // One that cannot be had is told of by the answer that is closed with the job.
            let _ = thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, move || job.keep(machines));
        }
        Ok(())
    })
}

/// Each machine takes some; as many as the system lets this process have.
fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    // It is a matter of how many machines there can be, no more.
    let _ = setrlimit(Resource::Nofile, all);
}

/// One machine's logs.
struct Job {
    /// Its folder's, among the machines'.
    name: OsString,
    answer: File,
    /// In the order of [`LOGS`]; a VMM may have less to say.
    pipes: Vec<OwnedFd>,
}

impl Job {
    /// The next one; `None` where the daemon is gone.
    fn receive(daemon: impl AsFd) -> io::Result<Option<Self>> {
        let mut said = [0; LONGEST_NAME];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(OTHERS + LOGS.len()))];
        loop {
            let mut handed = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut said)];
            let length = match recvmsg(&daemon, &mut into, &mut handed, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(received) if received.bytes == 0 => return Ok(None),
                Ok(received) => received.bytes,
            };
            let rights = handed.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                _ => None,
            });
            let mut descriptors = rights.flatten();
            if let Some(answer) = descriptors.next() {
                let name = said.get(..length).unwrap_or_default();
                return Ok(Some(Self {
                    name: OsStr::from_bytes(name).to_owned(),
                    answer: answer.into(),
                    pipes: descriptors.collect(),
                }));
            }
            // There were no descriptors left for it; what came of it is closed, which the daemon sees.
        }
    }

    fn keep(self, machines: &Path) {
        let Self {
            name,
            mut answer,
            pipes,
        } = self;
        let begun = begin(&machines.join(name), pipes);
        // Whether the daemon still listens is its own matter: what the VMM says is read all the same.
        let _ = match &begun {
            Ok(_) => answer.write_all(READY.as_bytes()),
            Err(error) => writeln!(answer, "{error}"),
        };
        drop(answer);
        let Ok((_lock, logs)) = begun else { return };
        thread::scope(|scope| {
            for (pipe, log) in logs {
                // A pipe that nobody reads is closed, and its writer told so.
                let _ = thread::Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, move || drain(pipe, log));
            }
        });
    }
}

/// Each pipe with its log, and what says that they are being kept, for as long as it is open.
fn begin(folder: &Path, pipes: Vec<OwnedFd>) -> io::Result<(OwnedFd, Vec<(File, Kept)>)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = open(folder, flags, Mode::empty())?;
    lock(&folder);
    let mut logs = Vec::new();
    for (pipe, log) in pipes.into_iter().zip(LOGS) {
        // Of a pipe with a name, the reading end was opened without waiting for a writer.
        fcntl_setfl(&pipe, OFlags::empty())?;
        logs.push((pipe.into(), Kept::begin(folder.try_clone()?, log)?));
    }
    Ok((folder, logs))
}

/// Locks the folder. An earlier run's last words may still be on their way, through a pipe that something else holds
/// open: without the lock, this run's are not waited for.
fn lock(folder: &OwnedFd) {
    for _ in 0..TRIES {
        match flock(folder, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => thread::sleep(AGAIN),
            Ok(()) | Err(_) => return,
        }
    }
}

/// Reads to the end, whatever becomes of what was read: a writer must never wait for a full disk.
fn drain(mut from: File, mut to: Kept) {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => to.add(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
        thread::sleep(PAUSE);
    }
}
