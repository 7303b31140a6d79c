//! PID 1 of a machine whose image has no init: reaps orphans, keeps the agent running, ends the machine in order.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;

use guest::Shutdown;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_remount};
use rustix::process::{Signal, WaitOptions, kill_process};
use rustix::system::{RebootCommand, reboot};

use super::agent::Agent;
use super::keeper::Keeper;
use super::root::LAYER;
use super::{InitError, power, processes};
use crate::farewell;

pub(super) const NAME: &str = "banger-init";

/// `SIGRTMIN` as C libraries number it: they keep the first two for themselves.
const REALTIME: u32 = 34;

/// Runs until somebody ends the machine. The handover pipe only has to stay open: the agent reports on it.
pub(super) fn run(agent: Agent, _handover: &OwnedFd) -> Result<Infallible, InitError> {
    let _ = rustix::thread::set_name(c"banger-init");
    // Ctrl-Alt-Del comes as a signal instead of resetting the machine.
    let _ = reboot(RebootCommand::CadOff);
    let signals = block_signals().map_err(InitError::Signals)?;
    let mut keeper = Keeper::new(agent);
    loop {
        reap(&mut keeper);
        let timeout = keeper.restart_when_due();
        let mut polled = [PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut polled, timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(InitError::Signals(error.into())),
        }
        let signal = signals
            .read_signal()
            .map_err(|error| InitError::Signals(error.into()))?;
        if let Some(how) = signal.and_then(|signal| end_asked_by(signal.ssi_signo)) {
            end(&keeper, how);
        }
    }
}

fn block_signals() -> io::Result<SignalFd> {
    // All of them, those of the real-time range too.
    let signals = SigSet::all();
    signals.thread_block()?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?)
}

/// What systemd (the real-time ones) and busybox' init (the others) take these signals for. The programs `poweroff`, `halt`
/// and `reboot` of an image send them to PID 1, whoever that is.
fn end_asked_by(signal: u32) -> Option<Shutdown> {
    const HALT: u32 = REALTIME + 3;
    const POWER_OFF: u32 = REALTIME + 4;
    const RESTART: u32 = REALTIME + 5;
    const USR1: u32 = Signal::USR1.as_raw().cast_unsigned();
    const USR2: u32 = Signal::USR2.as_raw().cast_unsigned();
    const TERM: u32 = Signal::TERM.as_raw().cast_unsigned();
    const INT: u32 = Signal::INT.as_raw().cast_unsigned();
    match signal {
        POWER_OFF | USR2 => Some(Shutdown::PowerOff),
        HALT | USR1 => Some(Shutdown::Halt),
        // SIGINT is the kernel's for Ctrl-Alt-Del.
        RESTART | TERM | INT => Some(Shutdown::Reboot),
        _ => None,
    }
}

fn reap(keeper: &mut Keeper) {
    // Ends with "none has ended yet" or "there is none".
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if keeper.pid() == Some(pid) {
            keeper.ended(status);
        }
    }
}

/// Ends all processes, the agent last: it is what tells the host. Then nothing is written any more.
fn end(keeper: &Keeper, how: Shutdown) -> ! {
    processes::end_all(keeper.pid());
    rustix::fs::sync();
    farewell::tell(how);
    if let Some(agent) = keeper.pid() {
        let _ = kill_process(agent, Signal::KILL);
        processes::end_all(None);
    }
    // The overlay first, as it writes to the layer. Where something still holds a file open for writing, the sync
    // before the power goes is what counts.
    for path in ["/", LAYER] {
        let _ = mount_remount(path, MountFlags::RDONLY, "");
    }
    power::end(how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signals_that_end_a_machine_are_those_that_other_inits_take() {
        for signal in [12, 38] {
            assert_eq!(end_asked_by(signal), Some(Shutdown::PowerOff), "{signal}");
        }
        for signal in [10, 37] {
            assert_eq!(end_asked_by(signal), Some(Shutdown::Halt), "{signal}");
        }
        for signal in [2, 15, 39] {
            assert_eq!(end_asked_by(signal), Some(Shutdown::Reboot), "{signal}");
        }
        for signal in [0, 1, 9, 17, 28, 34, 36, 40, 64] {
            assert_eq!(end_asked_by(signal), None, "{signal}");
        }
    }
}
