//! Waiting for the agent's first configuration, and becoming the image's init.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A machine that nobody configures boots all the same, as whoever it was before.
const LONGEST: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// Returns when the agent is configured (its init then finds host name, machine id and network in place), when the
/// agent has died, or when that takes too long.
pub(super) fn wait(handover: &OwnedFd) {
    let mut polled = [PollFd::new(handover, PollFlags::IN)];
    while poll(&mut polled, Some(&LONGEST)) == Err(Errno::INTR) {}
}

/// Becomes the init; comes back only with the reason why not.
pub(super) fn execute(init: &Path) -> io::Error {
    // The kernel gave us the arguments that it leaves to an init, such as `single`.
    Command::new(init).args(std::env::args_os().skip(1)).exec()
}
