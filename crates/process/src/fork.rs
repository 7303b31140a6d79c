//! The one place that forks: a child that waits for leave before it becomes another program.
//!
//! `std::process::Command` cannot do it: it gives the pid only after the exec, and by then the program runs
//! without a record.
#![expect(
    unsafe_code,
    reason = "fork and what a child may do between fork and exec have no safe interface"
)]

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use nix::libc::{self, c_char, c_int, c_long};
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use seccompiler::BpfProgram;

use crate::confine::{Broken, Other, Plan, become_other, enter};
use crate::group::Group;
use crate::limits;
use crate::restrict::{self, restrict};
use crate::wire::{FIRST_PART, WirePlan, lay};
use crate::{ProcessError, Refusal};

/// Everything the child needs, made before the fork: after it, nothing may allocate.
pub(crate) struct Image {
    pub(crate) program: CString,
    /// Executed instead of what the path leads to.
    pub(crate) opened: Option<OwnedFd>,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    pub(crate) folder: OwnedFd,
    /// Where it works once it is confined, instead of the root there.
    pub(crate) within: Option<CString>,
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
    /// Standard error, if it is not the output.
    pub(crate) errors: Option<OwnedFd>,
    pub(crate) passed: Vec<Arc<OwnedFd>>,
    /// Those that the child begins in (`clone(2)`), or 0.
    pub(crate) namespaces: c_int,
    pub(crate) confinement: Option<Plan>,
    /// Who it becomes, where no confinement does that.
    pub(crate) user: Option<Other>,
    /// To be laid into a network namespace that the child begins in.
    pub(crate) wire: Option<WirePlan>,
    /// The child is born there where the host lets it.
    pub(crate) group: Option<Group>,
    /// What files that it makes are closed to.
    pub(crate) umask: u32,
    pub(crate) limits: limits::Plan,
    pub(crate) filters: Vec<BpfProgram>,
    /// Killed when the thread that forked ends, also once its program runs.
    pub(crate) ends_with_parent: bool,
}

/// The `umask` of children: what they make is their user's alone.
pub(crate) const PRIVATE: u32 = 0o077;

/// Why a child does not become its program.
#[derive(Debug)]
pub(crate) enum Failure {
    Confine(Refusal),
    Wire(Refusal),
    Restrict(Refusal),
    Other(io::Error),
}

impl Failure {
    /// As an error of starting `program`: of the process, or of `executing` the program in it.
    pub(crate) fn of(self, program: &Path, executing: bool) -> ProcessError {
        let program = program.to_owned();
        match self {
            Self::Confine(source) => ProcessError::Confine { program, source },
            Self::Wire(source) => ProcessError::Wire { program, source },
            Self::Restrict(source) => ProcessError::Restrict { program, source },
            Self::Other(source) if executing => ProcessError::Execute { program, source },
            Self::Other(source) => ProcessError::Fork { program, source },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Other(error)
    }
}

/// What a failed child writes: the number of the error, and which part of its confinement, its wire or its limits it is of, or
/// `NO_PART`.
type Report = [u32; 2];
const NO_PART: u32 = 0;

/// A child that waits for [`Waiting::release`]. Dropped without it, the child is killed and reaped.
///
/// Must stay on the thread that forked: the system ties the child's life to it.
pub(crate) struct Waiting<'a> {
    pid: u32,
    born_in_group: bool,
    confinement: Option<&'a Plan>,
    descriptor: Option<OwnedFd>,
    go: io::PipeWriter,
    failure: io::PipeReader,
}

/// Pointers that `execve` takes, and the descriptors that stay open, in rising order.
struct Prepared<'a> {
    image: &'a Image,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    kept: Vec<RawFd>,
    parent: libc::pid_t,
    go: RawFd,
    failure: RawFd,
}

/// Forks. The child sets itself apart, is confined if it is to be, then waits.
pub(crate) fn fork(image: &Image) -> Result<Waiting<'_>, Failure> {
    let (go_reader, go) = io::pipe()?;
    let (failure, failure_writer) = io::pipe()?;
    let mut kept: Vec<RawFd> = image.passed.iter().map(AsRawFd::as_raw_fd).collect();
    kept.extend(image.opened.iter().map(AsRawFd::as_raw_fd));
    kept.extend(image.wire.iter().map(|wire| wire.to.as_raw_fd()));
    let for_confining = image.confinement.iter().filter_map(Plan::kept_open);
    kept.extend(for_confining.map(AsRawFd::as_raw_fd));
    kept.extend([go_reader.as_raw_fd(), failure_writer.as_raw_fd()]);
    kept.sort_unstable();
    let prepared = Prepared {
        image,
        arguments: pointers(&image.arguments),
        environment: pointers(&image.environment),
        kept,
        parent: libc::pid_t::try_from(std::process::id()).map_err(io::Error::other)?,
        go: go_reader.as_raw_fd(),
        failure: failure_writer.as_raw_fd(),
    };

    // No handler of ours may run in the child: it would write to pipes that it shares with us.
    let mask = SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .map_err(io::Error::from)?;
    let birthplace = image.group.as_ref().and_then(Group::birthplace);
    let mut born_in_group = birthplace.is_some();
    // SAFETY: the child calls only async-signal-safe functions, on memory made before, and never returns.
    let forked = unsafe {
        let mut forked = split(image.namespaces, birthplace.map(|group| group.as_raw_fd()));
        if forked < 0 && born_in_group {
            born_in_group = false;
            forked = split(image.namespaces, None);
        }
        match forked {
            0 => become_program(&prepared),
            forked => forked,
        }
    };
    let error = io::Error::last_os_error();
    mask.thread_set_mask().map_err(io::Error::from)?;
    let confinement = image.confinement.as_ref();
    let pid = match (
        Some(forked).filter(|&pid| pid > 0).and_then(Pid::from_raw),
        confinement,
    ) {
        (Some(pid), _) => pid,
        (None, Some(_)) => {
            let step = "make namespaces".into();
            return Err(Failure::Confine(Refusal { step, source: error }));
        }
        (None, None) => return Err(error.into()),
    };

    // Unreaped, the child keeps its pid, so this opens no other process.
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => {
            let waiting = Waiting {
                pid: forked.unsigned_abs(),
                born_in_group,
                confinement,
                descriptor: Some(descriptor),
                go,
                failure,
            };
            if let Some(plan) = confinement {
                plan.help(waiting.pid).map_err(Failure::Confine)?;
            }
            Ok(waiting)
        }
        Err(error) => {
            drop(go);
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
            Err(io::Error::from(error).into())
        }
    }
}

/// `CLONE_INTO_CGROUP` (linux/sched.h).
const INTO_GROUP: u64 = 1 << 33;

/// Forks, into new namespaces if there are to be any. By `clone(2)` the child is the first process of its pid
/// namespace itself, and the number that comes back is the host's. (The C library's `fork` cannot pass flags.) Into a
/// control group, where one is given, by `clone3(2)`, from Linux 5.7 on.
///
/// # Safety
/// As `fork(2)` in a process with threads: the child may only call what is async-signal-safe.
unsafe fn split(namespaces: c_int, group: Option<RawFd>) -> libc::pid_t {
    if let Some(group) = group {
        // SAFETY: a structure of numbers, for which zero is none.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = INTO_GROUP | u64::from(namespaces.cast_unsigned());
        arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
        arguments.cgroup = u64::from(group.cast_unsigned());
        // SAFETY: without a stack and `CLONE_VM` this is a fork.
        let forked = unsafe {
            libc::syscall(
                libc::SYS_clone3,
                &raw const arguments,
                size_of::<libc::clone_args>(),
            )
        };
        return libc::pid_t::try_from(forked).unwrap_or(-1);
    }
    if namespaces == 0 {
        // SAFETY: the caller's.
        return unsafe { libc::fork() };
    }
    let flags = namespaces | libc::SIGCHLD;
    // SAFETY: without a stack and `CLONE_VM` this is a fork; of the other arguments, all zero, none is used.
    let forked = unsafe {
        libc::syscall(
            libc::SYS_clone,
            c_long::from(flags),
            0_usize,
            0_usize,
            0_usize,
            0_usize,
        )
    };
    libc::pid_t::try_from(forked).unwrap_or(-1)
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect()
}

impl Waiting<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is in the group of its image.
    pub(crate) fn is_born_in_group(&self) -> bool {
        self.born_in_group
    }

    /// Lets the child execute its program, and gives the descriptor of the process when it does.
    ///
    /// # Errors
    /// What `execve` (or a step of the child before it) said; the child is gone then.
    pub(crate) fn release(mut self) -> Result<OwnedFd, Failure> {
        // If the child has ended already, the next read says why.
        let _ = self.go.write_all(b"g");
        match self.why_it_failed() {
            Some(error) => Err(error),
            None => self
                .descriptor
                .take()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound).into()),
        }
    }

    /// What the child reported; `None` when it executes its program, or was killed from outside.
    pub(crate) fn why_it_failed(&mut self) -> Option<Failure> {
        let mut number = || {
            let mut bytes = [0; size_of::<u32>()];
            self.failure.read_exact(&mut bytes).ok()?;
            Some(u32::from_ne_bytes(bytes))
        };
        let [code, part]: Report = [number()?, number()?];
        let error = io::Error::from_raw_os_error(code.cast_signed());
        Some(match self.confinement {
            _ if part >= restrict::FIRST_PART => Failure::Restrict(restrict::refusal(part, error)),
            _ if part >= FIRST_PART => Failure::Wire(WirePlan::refusal(part, error)),
            Some(plan) if part != NO_PART => Failure::Confine(plan.refusal(part, error)),
            _ => Failure::Other(error),
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(descriptor) = &self.descriptor {
            let _ = pidfd_send_signal(descriptor, rustix::process::Signal::KILL);
            let _ = waitid(WaitId::PidFd(descriptor.as_fd()), WaitIdOptions::EXITED);
        }
    }
}

/// The child's whole life before its program. Reports the number of the error of the step that failed.
///
/// # Safety
/// Only in a child that was just forked, with every signal blocked.
unsafe fn become_program(prepared: &Prepared<'_>) -> ! {
    // SAFETY: each function called is async-signal-safe (`signal-safety(7)`) or a bare system call, each pointer
    // is into memory that `prepared` holds, and nothing allocates, locks or unwinds.
    unsafe {
        let steps: Result<(), Failed> = set_apart(prepared)
            .and_then(|()| confine(prepared))
            .and_then(|()| change_user(prepared))
            .and_then(|()| go_within(prepared))
            .and_then(|()| wait_for_leave(prepared))
            .and_then(|()| {
                let Image { limits, filters, .. } = prepared.image;
                restrict(limits, filters).map_err(told)
            })
            .and_then(|()| {
                execute(prepared);
                Err(Failed { part: NO_PART })
            });
        if let Err(Failed { part }) = steps {
            let report: Report = [(*libc::__errno_location()).cast_unsigned(), part];
            libc::write(prepared.failure, (&raw const report).cast(), size_of::<Report>());
        }
        libc::_exit(127)
    }
}

/// Becomes the program. Returns only where that fails.
///
/// # Safety
/// As [`become_program`].
unsafe fn execute(prepared: &Prepared<'_>) {
    let (arguments, environment) = (prepared.arguments.as_ptr(), prepared.environment.as_ptr());
    // SAFETY: as in `become_program`; both lists end with a null pointer.
    unsafe {
        match &prepared.image.opened {
            // It is closed in this very moment, as all that nobody passed on.
            Some(program) => {
                libc::syscall(
                    libc::SYS_execveat,
                    program.as_raw_fd(),
                    c"".as_ptr(),
                    arguments,
                    environment,
                    libc::AT_EMPTY_PATH,
                );
            }
            None => {
                libc::execve(prepared.image.program.as_ptr(), arguments, environment);
            }
        }
    }
}

/// The number is in `errno`.
struct Failed {
    part: u32,
}

fn check(result: c_int) -> Result<(), Failed> {
    if result < 0 {
        Err(Failed { part: NO_PART })
    } else {
        Ok(())
    }
}

/// # Safety
/// As [`become_program`].
unsafe fn confine(prepared: &Prepared<'_>) -> Result<(), Failed> {
    let Image {
        confinement, wire, ..
    } = prepared.image;
    let done = match (confinement, wire) {
        (Some(plan), wire) => enter(plan, wire.as_ref()),
        // Nobody to be but who it is.
        (None, Some(wire)) => lay(wire, rustix::process::geteuid().as_raw()),
        (None, None) => Ok(()),
    };
    done.map_err(told)
}

/// What another module reports, as this one does.
fn told((part, error): Broken) -> Failed {
    // SAFETY: this thread's own number.
    unsafe { *libc::__errno_location() = error.raw_os_error() };
    Failed { part }
}

/// # Safety
/// As [`become_program`].
unsafe fn change_user(prepared: &Prepared<'_>) -> Result<(), Failed> {
    let Some(other) = &prepared.image.user else {
        return Ok(());
    };
    become_other(other).map_err(|error| told((NO_PART, error)))?;
    // The system takes it back from what becomes another user.
    // SAFETY: as in `become_program`.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

/// # Safety
/// As [`become_program`].
unsafe fn go_within(prepared: &Prepared<'_>) -> Result<(), Failed> {
    match &prepared.image.within {
        // SAFETY: as in `become_program`; the path is a C string.
        Some(folder) => check(unsafe { libc::chdir(folder.as_ptr()) }),
        None => Ok(()),
    }
}

/// Own session, default signals, no terminal, only the listed descriptors, and death with the parent for now.
///
/// # Safety
/// As [`become_program`].
unsafe fn set_apart(prepared: &Prepared<'_>) -> Result<(), Failed> {
    // SAFETY: as in `become_program`.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        let parent = libc::getppid();
        // The parent may have died before it could take this child along. From within a new pid namespace it has no
        // number; there the end of the pipe tells, before the program is executed.
        if parent != prepared.parent && !(parent == 0 && prepared.image.namespaces & libc::CLONE_NEWPID != 0)
        {
            libc::_exit(127);
        }
        // An ignored signal would stay ignored over the exec. By system call, since the C library's function
        // refuses two; the kernel's structure is four words at most, and all zeros mean the default.
        let default = [0_u64; 4];
        for signal in 1..=64 {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<u64>(),
                8_usize,
            );
        }
        check(libc::setsid())?;
        libc::umask(prepared.image.umask);
        check(libc::fchdir(prepared.image.folder.as_raw_fd()))?;
        check(libc::dup2(prepared.image.input.as_raw_fd(), 0))?;
        check(libc::dup2(prepared.image.output.as_raw_fd(), 1))?;
        let errors = prepared.image.errors.as_ref().unwrap_or(&prepared.image.output);
        check(libc::dup2(errors.as_raw_fd(), 2))?;
        // Closed now and not on exec, so that no pipe of a sibling is held open while this child waits.
        let mut next = 3;
        for &kept in &prepared.kept {
            if kept > next {
                check(close_range(next, kept - 1))?;
            }
            next = kept + 1;
        }
        check(close_range(next, c_int::MAX))?;
        for passed in &prepared.image.passed {
            check(libc::fcntl(passed.as_raw_fd(), libc::F_SETFD, 0))?;
        }
    }
    Ok(())
}

/// # Safety
/// As [`become_program`].
unsafe fn close_range(first: RawFd, last: RawFd) -> c_int {
    // SAFETY: a bare system call; the descriptors are this child's own copies. The function of that name is
    // missing in older C libraries.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result < 0 { -1 } else { 0 }
}

/// Blocks until the parent has written the record. From then on the parent's death is no matter, unless the program is
/// to end with it.
///
/// # Safety
/// As [`become_program`].
unsafe fn wait_for_leave(prepared: &Prepared<'_>) -> Result<(), Failed> {
    // SAFETY: as in `become_program`.
    unsafe {
        let mut byte = 0_u8;
        if libc::read(prepared.go, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(127);
        }
        if !prepared.image.ends_with_parent {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, 0))?;
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const none,
            ptr::null_mut(),
        ))
    }
}
