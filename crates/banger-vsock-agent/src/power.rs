//! Ending the machine: through its init, or at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use guest::{PowerAction, Shutdown};
use nix::mount::{MsFlags, mount};
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};
use tokio::runtime::Handle;

use crate::exec::Commands;
use crate::farewell::Farewell;
use crate::init::{REAPER_NAME, mark, powers_off_by_reset};

/// What commands get to end by themselves.
const PATIENCE: Duration = Duration::from_secs(3);

/// What commands get before the power goes without the init.
const HASTE: Duration = Duration::from_millis(200);

/// Carries out the action. Blocks.
pub(crate) fn act(action: PowerAction, commands: &Commands, farewell: &Farewell) {
    match action {
        PowerAction::Shutdown => {
            // First: one that does not end when it is asked would hold up the init's own shutdown for minutes.
            commands.end_all(PATIENCE);
            ask_init();
        }
        PowerAction::PowerOff => {
            commands.end_all(HASTE);
            power_off(farewell);
        }
    }
}

/// How often the init is asked. One that has only just been executed does not listen yet: what it is asked then is
/// lost, and asking again does no harm.
const AGAIN: Duration = Duration::from_millis(500);

/// After this many times it is not going to.
const TIMES: u32 = 120;

/// Asks PID 1 to shut down until the machine is gone.
fn ask_init() {
    for _ in 0..TIMES {
        // Fails when there is no PID 1 to be seen, which is nothing that can be mended here.
        let _ = kill_process(Pid::INIT, shutdown_signal());
        std::thread::sleep(AGAIN);
    }
}

/// What makes this machine's init power off.
fn shutdown_signal() -> Signal {
    let comm = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    let program = fs::read_link("/proc/1/exe").unwrap_or_default();
    let systemd = Path::new("/run/systemd/system").is_dir()
        || program.file_name().is_some_and(|name| name == "systemd");
    if systemd || comm.trim_end() == REAPER_NAME {
        // systemd(1): "starts poweroff.target"; our own PID 1 does likewise.
        poweroff_of_systemd()
    } else {
        // busybox' init, s6 and others.
        Signal::USR2
    }
}

/// `SIGRTMIN+4`.
fn poweroff_of_systemd() -> Signal {
    #[expect(
        unsafe_code,
        reason = "rustix makes no real-time signals, the C library keeps some of them"
    )]
    // SAFETY: the C library does not use this one itself, and it is only sent.
    unsafe {
        Signal::from_raw_unchecked(nix::libc::SIGRTMIN() + 4)
    }
}

/// Writes everything out and takes the power away, past the init. Blocks; to be called from a thread of the runtime's
/// that may.
pub(crate) fn power_off(farewell: &Farewell) {
    write_out();
    Handle::current().block_on(farewell.say(Shutdown::PowerOff));
    mark(Shutdown::PowerOff);
    // Returns only if it is refused; then the host ends the machine by its VMM.
    let _ = reboot(command(Shutdown::PowerOff, powers_off_by_reset()));
}

/// Writes everything out, and lets nothing be written after that, as far as the kernel can see to it.
pub(crate) fn write_out() {
    rustix::fs::sync();
    // Best effort: with files open for writing the first is refused; the second reaches the file systems below the
    // overlay, which have no mount point in sight, and returns before it is done.
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let _ = mount(None::<&str>, "/", None::<&str>, read_only, None::<&str>);
    let _ = fs::write("/proc/sysrq-trigger", "u");
    rustix::fs::sync();
}

/// What the kernel is asked for. A kernel that knows no way to take the power away only halts, and nothing outside
/// learns of it, so there a reset is asked for: that is what ends the machine, whose VMM does not start it again.
pub(crate) fn command(how: Shutdown, by_reset: bool) -> RebootCommand {
    match how {
        Shutdown::PowerOff | Shutdown::Halt if by_reset => RebootCommand::Restart,
        Shutdown::PowerOff | Shutdown::Halt => RebootCommand::PowerOff,
        Shutdown::Reboot => RebootCommand::Restart,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_power_button_every_end_is_a_reset() {
        for (how, with, without) in [
            (
                Shutdown::PowerOff,
                RebootCommand::PowerOff,
                RebootCommand::Restart,
            ),
            (Shutdown::Halt, RebootCommand::PowerOff, RebootCommand::Restart),
            (Shutdown::Reboot, RebootCommand::Restart, RebootCommand::Restart),
        ] {
            assert_eq!(command(how, false), with, "{how:?}");
            assert_eq!(command(how, true), without, "{how:?}");
        }
    }
}
