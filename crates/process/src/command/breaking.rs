//! Programs that are ended early because the program that waits for them is asked to end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Signal, pidfd_send_signal};

use super::end_group;

/// Those that run, each until it is waited for.
#[derive(Default)]
struct Running {
    broken_off: bool,
    programs: Vec<(u32, OwnedFd)>,
}

static RUNNING: Mutex<Running> = Mutex::new(Running {
    broken_off: false,
    programs: Vec::new(),
});

/// Ends all programs of this process for which [`super::Command::may_be_broken_off`] was called, and each that starts
/// from now on.
pub fn break_off() {
    let mut running = lock();
    running.broken_off = true;
    for (pid, descriptor) in &running.programs {
        end(*pid, descriptor);
    }
}

pub(super) fn add(pid: u32, descriptor: &OwnedFd) -> io::Result<()> {
    let descriptor = descriptor.try_clone()?;
    let mut running = lock();
    if running.broken_off {
        end(pid, &descriptor);
    }
    running.programs.push((pid, descriptor));
    Ok(())
}

/// Called before it is reaped: its number is its own until then.
pub(super) fn remove(pid: u32) {
    lock().programs.retain(|(other, _)| *other != pid);
}

fn end(pid: u32, descriptor: &OwnedFd) {
    end_group(pid);
    // It fails only for a process that is gone.
    let _ = pidfd_send_signal(descriptor, Signal::KILL);
}

fn lock() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
