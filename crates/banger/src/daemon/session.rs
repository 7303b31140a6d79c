//! A daemon's process takes nothing over from the command that happens to start it: not its session (the terminal's Ctrl-C
//! and hang-up), descriptors, signals, umask or working directory. A pipe that the caller gave its command would otherwise
//! have no end while the daemon lives, and what the caller ignores would be ignored by each VMM.
#![expect(
    unsafe_code,
    reason = "the standard library has no safe way to set these between fork and exec"
)]

use std::io;
use std::os::fd::RawFd;
use std::ptr;

use nix::libc;
use tokio::process::Command;

/// Rights that nobody else gets on what is made without any being named; the folders that it is made in are closed anyway.
const UMASK: libc::mode_t = 0o022;
/// The first descriptor after the standard ones.
const FIRST: RawFd = 3;
/// Up to which descriptor each is closed by itself, where the kernel has no call for all (before 5.11).
const MOST: RawFd = 65_536;
/// Size of the kernel's set of signals.
const SET: usize = 8;

/// Makes the command start as a daemon.
pub fn detach(command: &mut Command) {
    command.current_dir("/");
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; all of these are bare system calls, and making
    // an `io::Error` of an error number allocates nothing.
    unsafe {
        command.pre_exec(leave_the_caller);
    }
}

fn leave_the_caller() -> io::Result<()> {
    nix::unistd::setsid().map_err(|error| io::Error::from_raw_os_error(error as i32))?;
    // The kernel's structure is four words at most; all zeros mean the default, and no signal in a set.
    let none = [0_u64; 4];
    // SAFETY: system calls on this child's own state, with memory that outlives them. Signals that cannot be set (KILL, STOP)
    // are refused and left as they are.
    unsafe {
        libc::umask(UMASK);
        let nothing = ptr::null_mut::<u64>();
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, none.as_ptr(), nothing, SET);
        }
        let (how, set) = (libc::SIG_SETMASK, none.as_ptr());
        libc::syscall(libc::SYS_rt_sigprocmask, how, set, nothing, SET);
        // On exec: the standard library's own pipe tells the parent whether that works.
        let flags = libc::CLOSE_RANGE_CLOEXEC;
        if libc::syscall(libc::SYS_close_range, FIRST, RawFd::MAX, flags) != 0 {
            for descriptor in FIRST..MOST {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
    Ok(())
}
