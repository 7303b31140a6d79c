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
use std::ptr;

use nix::libc::{self, c_char, c_int};
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

/// Everything the child needs, made before the fork: after it, nothing may allocate.
pub(crate) struct Image {
    pub(crate) program: CString,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    pub(crate) folder: OwnedFd,
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) passed: Vec<OwnedFd>,
}

/// A child that waits for [`Waiting::release`]. Dropped without it, the child is killed and reaped.
///
/// Must stay on the thread that forked: the system ties the child's life to it.
pub(crate) struct Waiting {
    pid: u32,
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

/// Forks. The child sets itself apart, then waits.
pub(crate) fn fork(image: &Image) -> io::Result<Waiting> {
    let (go_reader, go) = io::pipe()?;
    let (failure, failure_writer) = io::pipe()?;
    let mut kept: Vec<RawFd> = image.passed.iter().map(AsRawFd::as_raw_fd).collect();
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
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the child calls only async-signal-safe functions, on memory made before, and never returns.
    let forked = unsafe {
        match libc::fork() {
            0 => become_program(&prepared),
            forked => forked,
        }
    };
    let error = io::Error::last_os_error();
    mask.thread_set_mask()?;
    let pid = Pid::from_raw(forked).filter(|_| forked > 0).ok_or(error)?;

    // Unreaped, the child keeps its pid, so this opens no other process.
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => Ok(Waiting {
            pid: forked.unsigned_abs(),
            descriptor: Some(descriptor),
            go,
            failure,
        }),
        Err(error) => {
            drop(go);
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
            Err(error.into())
        }
    }
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect()
}

impl Waiting {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets the child execute its program, and gives the descriptor of the process when it does.
    ///
    /// # Errors
    /// What `execve` (or a step of the child before it) said; the child is gone then.
    pub(crate) fn release(mut self) -> io::Result<OwnedFd> {
        // If the child has ended already, the next read says why.
        let _ = self.go.write_all(b"g");
        match self.why_it_failed() {
            Some(error) => Err(error),
            None => self
                .descriptor
                .take()
                .ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }

    /// What the child reported; `None` when it executes its program, or was killed from outside.
    pub(crate) fn why_it_failed(&mut self) -> Option<io::Error> {
        let mut code = [0; size_of::<c_int>()];
        self.failure.read_exact(&mut code).ok()?;
        Some(io::Error::from_raw_os_error(c_int::from_ne_bytes(code)))
    }
}

impl Drop for Waiting {
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
            .and_then(|()| wait_for_leave(prepared))
            .and_then(|()| {
                libc::execve(
                    prepared.image.program.as_ptr(),
                    prepared.arguments.as_ptr(),
                    prepared.environment.as_ptr(),
                );
                Err(Failed)
            });
        if let Err(Failed) = steps {
            let code = *libc::__errno_location();
            libc::write(prepared.failure, (&raw const code).cast(), size_of::<c_int>());
        }
        libc::_exit(127)
    }
}

/// The number is in `errno`.
struct Failed;

fn check(result: c_int) -> Result<(), Failed> {
    if result < 0 { Err(Failed) } else { Ok(()) }
}

/// Own session, default signals, no terminal, only the listed descriptors, and death with the parent for now.
///
/// # Safety
/// As [`become_program`].
unsafe fn set_apart(prepared: &Prepared<'_>) -> Result<(), Failed> {
    // SAFETY: as in `become_program`.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        if libc::getppid() != prepared.parent {
            // The parent died before it could take this child along.
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
        libc::umask(0o077);
        check(libc::fchdir(prepared.image.folder.as_raw_fd()))?;
        check(libc::dup2(prepared.image.input.as_raw_fd(), 0))?;
        check(libc::dup2(prepared.image.output.as_raw_fd(), 1))?;
        check(libc::dup2(prepared.image.output.as_raw_fd(), 2))?;
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

/// Blocks until the parent has written the record. From then on the parent's death is no matter.
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
        check(libc::prctl(libc::PR_SET_PDEATHSIG, 0))?;
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const none,
            ptr::null_mut(),
        ))
    }
}
