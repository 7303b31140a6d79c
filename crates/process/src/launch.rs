//! What is to run and where, and the start itself.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use nix::libc::{self, c_int};
use tokio::runtime;

use crate::confine::Plan;
use crate::fork::{Failure, Image, PRIVATE, fork};
use crate::wire::{Wire, WirePlan};
use crate::{
    Confinement, Group, Handle, Identity, Limits, ProcessError, Refusal, SystemCalls, remove_record,
    write_record,
};

/// A program to start apart from this process.
///
/// It gets a session of its own, no terminal, an empty standard input, default signals, file mode mask 077, and
/// of our descriptors and environment only what is listed. No shell is involved.
#[derive(Debug)]
pub struct Launch {
    program: PathBuf,
    /// The program itself, if it is not to be found by its path.
    opened: Option<OwnedFd>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
    output: Option<OwnedFd>,
    errors: Option<OwnedFd>,
    passed: Vec<OwnedFd>,
    record: Option<PathBuf>,
    preparation: Option<Preparation>,
    confinement: Option<Confinement>,
    alone: bool,
    wire: Option<Wire>,
    group: Option<Group>,
    limits: Limits,
    filter: Option<SystemCalls>,
}

/// See [`Launch::prepare`].
struct Preparation(Box<Prepare>);

type Prepare = dyn FnOnce(&Identity) -> io::Result<()> + Send;

impl fmt::Debug for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preparation")
    }
}

impl Launch {
    /// `program` (a path; nothing is searched for) working in `folder`, told of in the file `record`.
    pub fn new(program: impl Into<PathBuf>, folder: impl Into<PathBuf>, record: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            opened: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.into(),
            output: None,
            errors: None,
            passed: Vec::new(),
            record: Some(record.into()),
            preparation: None,
            confinement: None,
            alone: false,
            wire: None,
            group: None,
            limits: Limits::default(),
            filter: None,
        }
    }

    /// The same for a program that sees the end of this process and ends by itself then: nobody looks for it later, so
    /// no file tells of it.
    pub fn unrecorded(program: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self {
            record: None,
            ..Self::new(program, folder, PathBuf::new())
        }
    }

    /// A program that is open, under a name of the caller's choice. It needs no path, so it runs in any confinement
    /// that shows what it is linked with.
    pub fn of_opened(
        program: OwnedFd,
        name: impl Into<PathBuf>,
        folder: impl Into<PathBuf>,
        record: impl Into<PathBuf>,
    ) -> Self {
        Self {
            opened: Some(program),
            ..Self::new(name, folder, record)
        }
    }

    /// Both: a program that is open, and no file that tells of it.
    pub fn unrecorded_of_opened(
        program: OwnedFd,
        name: impl Into<PathBuf>,
        folder: impl Into<PathBuf>,
    ) -> Self {
        Self {
            opened: Some(program),
            ..Self::unrecorded(name, folder)
        }
    }

    /// Adds an argument, handed over as it is.
    pub fn argument(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    pub fn arguments(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.arguments
            .extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the otherwise empty environment.
    pub fn variable(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> &mut Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Where standard output and standard error go; nowhere without this.
    pub fn output(&mut self, to: OwnedFd) -> &mut Self {
        self.output = Some(to);
        self
    }

    /// Where standard error goes, if not where standard output does.
    pub fn errors(&mut self, to: OwnedFd) -> &mut Self {
        self.errors = Some(to);
        self
    }

    /// Hands a descriptor over. Gives the number that the program finds it under.
    pub fn pass(&mut self, descriptor: OwnedFd) -> RawFd {
        let number = descriptor.as_raw_fd();
        self.passed.push(descriptor);
        number
    }

    /// Has `preparation` called with the process before its record is written and its program runs: the place to
    /// move it into a cgroup. What it answers with an error is not started.
    pub fn prepare(
        &mut self,
        preparation: impl FnOnce(&Identity) -> io::Result<()> + Send + 'static,
    ) -> &mut Self {
        self.preparation = Some(Preparation(Box::new(preparation)));
        self
    }

    /// Confines the program. Its path is then one inside, and it works in the root there.
    pub fn confine(&mut self, confinement: Confinement) -> &mut Self {
        self.confinement = Some(confinement);
        self
    }

    /// Gives the program network, processes, System V IPC and host name of its own, and else what the host has; for one
    /// that confines itself further. Needs root. A confined one is alone anyway.
    pub fn alone(&mut self) -> &mut Self {
        self.alone = true;
        self
    }

    /// Gives the program, which has to be in a network of its own, a card called [`crate::CARD`] there. The far end of
    /// its wire is sent before the program runs.
    pub fn wire(&mut self, wire: Wire) -> &mut Self {
        self.wire = Some(wire);
        self
    }

    /// Has the program run in these control groups. Where the host does not let it, it runs all the same:
    /// [`Started::refused_group`] tells.
    pub fn group(&mut self, group: Group) -> &mut Self {
        self.group = Some(group);
        self
    }

    /// Limits what the program may take, confined or not.
    pub fn limit(&mut self, limits: Limits) -> &mut Self {
        self.limits = limits;
        self
    }

    /// Puts the program under a filter of system calls, confined or not. It gets no rights by executing another one then.
    pub fn filter(&mut self, filter: SystemCalls) -> &mut Self {
        self.filter = Some(filter);
        self
    }

    /// Starts the program, after its identity has been written to the record.
    ///
    /// Dropping the future, or what it gives, ends the program again. Must be called within a tokio runtime,
    /// which reaps the process when it ends; when this process ends first, the system's init does.
    ///
    /// # Errors
    /// Nothing runs and no record is left then.
    pub async fn start(self) -> Result<Started, ProcessError> {
        let runtime = runtime::Handle::current();
        let program = self.program.clone();
        // The thread that forks has to live until the program runs, so all of it happens on one.
        tokio::task::spawn_blocking(move || self.start_here(&runtime))
            .await
            .map_err(|error| ProcessError::Fork {
                program,
                source: io::Error::other(error),
            })?
    }

    fn start_here(mut self, runtime: &runtime::Handle) -> Result<Started, ProcessError> {
        let Self { program, record, .. } = &self;
        let (program, record) = (program.clone(), record.clone());
        let preparation = self.preparation.take();
        let image = self.into_image()?;
        let cannot_fork = |source| ProcessError::Fork {
            program: program.clone(),
            source,
        };
        let no_process = |failure: Failure| failure.of(&program, false);
        let cannot_execute = |failure: Failure| failure.of(&program, true);

        let mut waiting = fork(&image).map_err(no_process)?;
        let identity = Identity::of(waiting.pid())
            .map_err(|error| no_process(waiting.why_it_failed().unwrap_or(error.into())))?;
        if let Some(Preparation(prepare)) = preparation {
            prepare(&identity).map_err(cannot_fork)?;
        }
        let forget = || {
            if let Some(record) = &record {
                let _ = remove_record(record, &identity);
            }
        };
        // To move a process, the system waits for all processors, some ten milliseconds.
        let to_move = image.group.as_ref().filter(|_| !waiting.is_born_in_group());
        let (released, refused_group) = thread::scope(|scope| {
            let mover = to_move.map(|group| scope.spawn(|| group.take_in(identity.pid).err()));
            let written = record
                .as_ref()
                .map_or(Ok(()), |record| write_record(record, &identity));
            let released = written.and_then(|()| waiting.release().map_err(cannot_execute));
            // Until here nobody has waited for the process, so its pid is its own.
            let refused =
                mover.map(|mover| mover.join().unwrap_or_else(|_| Some(io::ErrorKind::Other.into())));
            (released, refused.flatten())
        });
        let descriptor = released.inspect_err(|_| forget())?;
        let handle = Handle::child(identity, descriptor, runtime);
        Ok(Started {
            handle: Some(handle),
            record,
            refused_group,
        })
    }

    fn into_image(self) -> Result<Image, ProcessError> {
        let cannot_fork = |source| ProcessError::Fork {
            program: self.program.clone(),
            source,
        };
        let folder = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(&self.folder)
            .map_err(cannot_fork)?;
        let input = File::open("/dev/null").map_err(cannot_fork)?;
        let output = match self.output {
            Some(output) => output,
            None => File::options()
                .write(true)
                .open("/dev/null")
                .map_err(cannot_fork)?
                .into(),
        };
        let first = self.program.as_os_str();
        let arguments = std::iter::once(first).chain(self.arguments.iter().map(OsString::as_os_str));
        let environment = self.environment.iter().map(|(name, value)| {
            let mut pair = name.clone();
            pair.push("=");
            pair.push(value);
            pair
        });
        let confinement = match &self.confinement {
            Some(confinement) => Some(Plan::new(confinement).map_err(|source| ProcessError::Confine {
                program: self.program.clone(),
                source,
            })?),
            None => None,
        };
        let image = Image {
            program: c_string(first)?,
            opened: self.opened,
            arguments: arguments.map(c_string).collect::<Result<_, _>>()?,
            environment: environment
                .map(|pair| c_string(&pair))
                .collect::<Result<_, _>>()?,
            folder: folder.into(),
            within: None,
            input: input.into(),
            output,
            errors: self.errors,
            passed: self.passed.into_iter().map(Arc::new).collect(),
            namespaces: namespaces(confinement.as_ref(), self.alone),
            confinement,
            user: None,
            wire: self.wire.map(WirePlan::new),
            group: self.group,
            umask: PRIVATE,
            limits: self.limits.plan(),
            filters: self.filter.map(SystemCalls::into_programs).unwrap_or_default(),
            ends_with_parent: false,
        };
        if image.wire.is_some() && image.namespaces & libc::CLONE_NEWNET == 0 {
            // It would be laid into the host's own.
            return Err(ProcessError::Wire {
                program: self.program,
                source: Refusal {
                    step: "give a program a network card".into(),
                    source: io::Error::other("it is in the host's network"),
                },
            });
        }
        // Below 3 they would be overwritten. It cannot be while the standard descriptors are open.
        let own = [&image.folder, &image.input, &image.output];
        if own
            .into_iter()
            .chain(image.passed.iter().map(Arc::as_ref))
            .chain(&image.opened)
            .chain(&image.errors)
            .chain(image.wire.as_ref().map(|wire| &wire.to))
            .any(|descriptor| descriptor.as_raw_fd() < 3)
        {
            return Err(ProcessError::Fork {
                program: self.program,
                source: io::Error::other("a standard descriptor was closed"),
            });
        }
        Ok(image)
    }
}

/// The namespaces that the child begins in (`clone(2)`).
fn namespaces(confinement: Option<&Plan>, alone: bool) -> c_int {
    match confinement {
        Some(plan) => plan.namespaces(),
        None if alone => libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNET,
        None => 0,
    }
}

pub(crate) fn c_string(text: &OsStr) -> Result<CString, ProcessError> {
    CString::new(text.as_bytes()).map_err(|_| ProcessError::ZeroByte {
        text: text.to_string_lossy().replace('\0', "\u{fffd}"),
    })
}

/// A program that was started and is ended again, with what it has started and its record, unless it is [kept](Started::keep).
#[derive(Debug)]
pub struct Started {
    handle: Option<Handle>,
    record: Option<PathBuf>,
    refused_group: Option<io::Error>,
}

impl Started {
    /// The process.
    pub fn handle(&self) -> &Handle {
        self.handle
            .as_ref()
            .expect("it is taken only by `keep` and `drop`, which end this value")
    }

    /// Why it is not in the control groups that it was to be in.
    pub fn refused_group(&self) -> Option<&io::Error> {
        self.refused_group.as_ref()
    }

    /// Lets it run on.
    pub fn keep(mut self) -> Handle {
        self.handle.take().expect("it is taken only here and by `drop`")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            // It fails only for a process that is gone.
            let _ = handle.kill(crate::Signal::KILL);
            if let Some(record) = &self.record {
                if let Some(folder) = record.parent() {
                    handle.identity().end_left_behind(folder);
                }
                let _ = remove_record(record, handle.identity());
            }
        }
    }
}
