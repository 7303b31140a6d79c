//! A program that runs while its caller waits for it: confined, limited, and gone with all that it started when it is
//! dropped, or when this process ends.
//!
//! ```text
//!  Command ── spawn ──► Child: pipes, wait, kill
//!        └─── run ────► Finished: how it ended and what it wrote, bounded in bytes and time
//! ```
//!
//! Blocks where it waits, and needs no runtime. A host may refuse to confine ([`Confinement::refused`]); what happens
//! then is the caller's to say: [`Command::unconfined_if_refused`].

mod breaking;
mod collect;

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_send_signal, waitid};

use crate::activity::Activity;
use crate::confine::{Other, Plan};
use crate::fork::{Image, PRIVATE};
use crate::handle::ending_of;
use crate::launch::c_string;
use crate::starter::{any_is_standard, pair, start};
use crate::{Confinement, Ending, Limits, ProcessError, SystemCalls};
pub use breaking::break_off;
pub use collect::{Bounds, Cut, Finished};

/// What a standard descriptor of a program is.
#[derive(Debug, Default)]
pub enum Stream {
    /// Nothing to read, and nowhere to write.
    #[default]
    Nothing,
    /// A pipe, whose other end is the [`Child`]'s.
    Pipe,
    /// This.
    Given(OwnedFd),
}

/// A program to run.
///
/// It gets a session of its own, no terminal, default signals, file mode mask 077, and of our descriptors and environment
/// only what is listed. No shell is involved.
#[derive(Debug)]
pub struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
    streams: [Stream; 3],
    passed: Vec<Arc<OwnedFd>>,
    confinement: Option<Confinement>,
    /// Who it becomes without one.
    user: Option<Other>,
    even_unconfined: bool,
    umask: u32,
    may_be_broken_off: bool,
    limits: Limits,
    filter: Option<SystemCalls>,
}

impl Command {
    /// `program` (a path; nothing is searched for).
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: "/".into(),
            streams: Default::default(),
            passed: Vec::new(),
            confinement: None,
            user: None,
            even_unconfined: false,
            umask: PRIVATE,
            may_be_broken_off: false,
            limits: Limits::default(),
            filter: None,
        }
    }

    /// Adds an argument, handed over as it is.
    pub fn argument(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments([argument])
    }

    /// Adds several arguments.
    pub fn arguments(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Sets a variable of the otherwise empty environment.
    pub fn variable(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> &mut Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Where it works: a path inside, where it is confined. The root without this.
    pub fn folder(&mut self, folder: impl Into<PathBuf>) -> &mut Self {
        self.folder = folder.into();
        self
    }

    /// What it reads. Nothing without this.
    pub fn input(&mut self, stream: Stream) -> &mut Self {
        self.streams[0] = stream;
        self
    }

    /// Where its output goes. Nowhere without this.
    pub fn output(&mut self, stream: Stream) -> &mut Self {
        self.streams[1] = stream;
        self
    }

    /// Where its complaints go. Nowhere without this.
    pub fn errors(&mut self, stream: Stream) -> &mut Self {
        self.streams[2] = stream;
        self
    }

    /// Hands a descriptor over. Gives the number that the program finds it under.
    pub fn pass(&mut self, descriptor: OwnedFd) -> RawFd {
        let number = descriptor.as_raw_fd();
        self.passed.push(Arc::new(descriptor));
        number
    }

    /// Confines it. The program's path is then one inside.
    pub fn confine(&mut self, confinement: Confinement) -> &mut Self {
        self.confinement = Some(confinement);
        self
    }

    /// Where the host confines nothing, the program runs all the same, under its limits and its filter, with the same
    /// paths: [`Child::is_confined`] tells. So it does where root lacks the rights to confine another user's program. It
    /// becomes that user all the same. Any other reason why it is not confined stays an error.
    pub fn unconfined_if_refused(&mut self) -> &mut Self {
        self.even_unconfined = true;
        self
    }

    /// What the files that it makes are closed to; to all but their owner without this.
    pub fn umask(&mut self, umask: u32) -> &mut Self {
        self.umask = umask;
        self
    }

    /// Lets [`break_off`] end it: for a program of which nothing stays that could be left half done.
    pub fn may_be_broken_off(&mut self) -> &mut Self {
        self.may_be_broken_off = true;
        self
    }

    /// Limits what it may take, confined or not.
    pub fn limit(&mut self, limits: Limits) -> &mut Self {
        self.limits = limits;
        self
    }

    /// Puts it under a filter of system calls, confined or not.
    pub fn filter(&mut self, filter: SystemCalls) -> &mut Self {
        self.filter = Some(filter);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// Nothing runs then.
    pub fn spawn(mut self) -> Result<Child, ProcessError> {
        let program = self.program.clone();
        let other = self.confinement.as_ref().and_then(Confinement::other_user);
        let cannot = other.is_some() && !Confinement::can_become_another();
        if self.even_unconfined && (cannot || Confinement::is_known_to_be_refused()) {
            self.give_up_confinement();
        }
        let cannot_fork = |source| ProcessError::Fork {
            program: program.clone(),
            source,
        };
        let null = || File::options().write(true).open("/dev/null");
        let streams = std::mem::take(&mut self.streams);
        let mut child = Child::default();
        let mut ends = Vec::new();
        for (number, stream) in streams.into_iter().enumerate() {
            ends.push(match stream {
                // No file of the host's, whose owner and mode a confined root might change.
                Stream::Nothing if number == 0 => io::pipe().map_err(cannot_fork)?.0.into(),
                Stream::Nothing => null().map_err(cannot_fork)?.into(),
                Stream::Given(descriptor) => descriptor,
                Stream::Pipe => child.pipe(number).map_err(cannot_fork)?,
            });
        }
        let started = match self.start_with(&ends) {
            Err(ProcessError::Confine { .. }) if self.even_unconfined && Confinement::refused().is_some() => {
                self.give_up_confinement();
                self.start_with(&ends)
            }
            started => started,
        };
        let (pid, descriptor) = started?;
        if self.may_be_broken_off {
            breaking::add(pid, &descriptor).map_err(cannot_fork)?;
        }
        child.confined = self.confinement.is_some();
        child.running = Some((pid, descriptor));
        Ok(child)
    }

    fn give_up_confinement(&mut self) {
        if let Some(confinement) = self.confinement.take() {
            self.user = confinement.other_user();
        }
    }

    fn start_with(&self, ends: &[OwnedFd]) -> Result<(u32, OwnedFd), ProcessError> {
        let program = &self.program;
        let cannot_fork = |source| ProcessError::Fork {
            program: program.clone(),
            source,
        };
        let copy = |descriptor: &OwnedFd| descriptor.try_clone().map_err(cannot_fork);
        let [input, output, errors] = ends else {
            return Err(cannot_fork(io::ErrorKind::InvalidInput.into()));
        };
        let confinement = match &self.confinement {
            Some(confinement) => Some(Plan::new(confinement).map_err(|source| ProcessError::Confine {
                program: program.clone(),
                source,
            })?),
            None => None,
        };
        // Another user goes there by itself.
        let own = (confinement.is_some() || self.user.is_some()).then(|| Path::new("/"));
        let folder = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(own.unwrap_or(&self.folder))
            .map_err(cannot_fork)?;
        let first = program.as_os_str();
        let arguments = std::iter::once(first).chain(self.arguments.iter().map(OsString::as_os_str));
        let environment = self.environment.iter();
        let image = Image {
            program: c_string(first)?,
            opened: None,
            arguments: arguments.map(c_string).collect::<Result<_, _>>()?,
            environment: environment
                .map(|(name, value)| pair(name, value))
                .collect::<Result<_, _>>()?,
            folder: folder.into(),
            within: own
                .map(|_| c_string(self.folder.as_os_str()))
                .transpose()?
                .filter(|folder: &CString| folder.as_c_str() != c"/"),
            input: copy(input)?,
            output: copy(output)?,
            errors: Some(copy(errors)?),
            passed: self.passed.clone(),
            namespaces: confinement.as_ref().map_or(0, Plan::namespaces),
            confinement,
            user: self.user.clone(),
            wire: None,
            group: None,
            umask: self.umask,
            limits: self.limits.plan(),
            filters: self
                .filter
                .clone()
                .map(SystemCalls::into_programs)
                .unwrap_or_default(),
            ends_with_parent: true,
        };
        let own = [&image.folder, &image.input, &image.output];
        if any_is_standard(
            own.into_iter()
                .chain(&image.errors)
                .chain(self.passed.iter().map(Arc::as_ref)),
        ) {
            return Err(cannot_fork(io::Error::other("a standard descriptor was closed")));
        }
        start(image, program)
    }
}

/// A program that runs. Dropped, it is killed, with all that it started where it is confined, else with those that
/// stayed in its session.
#[derive(Debug, Default)]
pub struct Child {
    /// What it reads comes from here.
    pub stdin: Option<PipeWriter>,
    /// What it writes comes out here.
    pub stdout: Option<PipeReader>,
    /// What it complains of comes out here.
    pub stderr: Option<PipeReader>,
    confined: bool,
    running: Option<(u32, OwnedFd)>,
    ending: Option<Ending>,
}

impl Child {
    /// Makes a pipe, keeps the one end and gives the other.
    fn pipe(&mut self, number: usize) -> io::Result<OwnedFd> {
        let (reader, writer) = io::pipe()?;
        Ok(match number {
            0 => {
                self.stdin = Some(writer);
                reader.into()
            }
            1 => {
                self.stdout = Some(reader);
                writer.into()
            }
            _ => {
                self.stderr = Some(reader);
                writer.into()
            }
        })
    }

    /// Whether it is confined.
    #[must_use]
    pub fn is_confined(&self) -> bool {
        self.confined
    }

    /// Waits for its end, after its input has been closed. What it writes must be read meanwhile, by another thread if
    /// need be.
    ///
    /// # Errors
    /// The system has no descriptors left, or the like.
    pub fn wait(&mut self) -> io::Result<Ending> {
        self.stdin = None;
        while self.running.is_some() {
            if let Some(ending) = self.wait_for(Duration::from_secs(3600))? {
                return Ok(ending);
            }
        }
        Ok(self.ending.unwrap_or(Ending::Unknown))
    }

    /// Waits so long for its end; `None` if it still runs then.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn wait_for(&mut self, time: Duration) -> io::Result<Option<Ending>> {
        let Some((pid, descriptor)) = &self.running else {
            // What never ran has ended as well.
            return Ok(Some(self.ending.unwrap_or(Ending::Unknown)));
        };
        let mut events = [PollFd::new(descriptor, PollFlags::IN)];
        let time = Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        match poll(&mut events, Some(&time)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            ready => ready?,
        };
        // Before it is reaped, as long as no other process can have its number.
        end_group(*pid);
        breaking::remove(*pid);
        let status = waitid(WaitId::PidFd(descriptor.as_fd()), WaitIdOptions::EXITED)?;
        let ending = status.as_ref().map_or(Ending::Unknown, ending_of);
        self.ending = Some(ending);
        self.running = None;
        Ok(Some(ending))
    }

    /// Its number on the host, while it has not been waited for.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(|(pid, _)| *pid)
    }

    /// What it and all that it has started do.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn activity(&self) -> io::Result<Activity> {
        self.id().map_or(Ok(Activity::default()), Activity::of_session)
    }

    /// Ends it at once, with all that it started.
    pub fn kill(&mut self) {
        if let Some((pid, descriptor)) = &self.running {
            end_group(*pid);
            // It fails only for a process that is gone.
            let _ = pidfd_send_signal(descriptor, Signal::KILL);
        }
    }

    /// A descriptor that becomes readable when it ends.
    fn descriptor(&self) -> Option<&OwnedFd> {
        self.running.as_ref().map(|(_, descriptor)| descriptor)
    }
}

/// Ends the session's own group of processes. Confined, they end with the first one anyway.
fn end_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        // Killed, it takes no time.
        let _ = self.wait();
    }
}
