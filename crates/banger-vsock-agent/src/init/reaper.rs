//! PID 1 of a machine whose image has no init: reaps orphans, keeps the agent running, ends the machine in order.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;

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

/// What systemd and containers' inits take these signals for.
fn end_asked_by(signal: u32) -> Option<RebootCommand> {
    const POWER_OFF: u32 = REALTIME + 4;
    const RESTART: u32 = REALTIME + 5;
    const TERM: u32 = Signal::TERM.as_raw().cast_unsigned();
    const INT: u32 = Signal::INT.as_raw().cast_unsigned();
    match signal {
        POWER_OFF | TERM => Some(RebootCommand::PowerOff),
        // SIGINT is the kernel's for Ctrl-Alt-Del.
        RESTART | INT => Some(RebootCommand::Restart),
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
fn end(keeper: &Keeper, how: RebootCommand) -> ! {
    processes::end_all(keeper.pid());
    rustix::fs::sync();
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
        for signal in [15, 38] {
            assert_eq!(end_asked_by(signal), Some(RebootCommand::PowerOff), "{signal}");
        }
        for signal in [2, 39] {
            assert_eq!(end_asked_by(signal), Some(RebootCommand::Restart), "{signal}");
        }
        for signal in [0, 1, 9, 17, 28, 34, 37, 40, 64] {
            assert_eq!(end_asked_by(signal), None, "{signal}");
        }
    }
}
