//! Ending the machine: through its init, or at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use guest::PowerAction;
use nix::mount::{MsFlags, mount};
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

use crate::exec::Commands;
use crate::init::REAPER_NAME;

/// What commands get to end by themselves.
const PATIENCE: Duration = Duration::from_secs(3);

/// What commands get before the power goes without the init.
const HASTE: Duration = Duration::from_millis(200);

/// Carries out the action. Blocks.
pub(crate) fn act(action: PowerAction, commands: &Commands) {
    match action {
        PowerAction::Shutdown => {
            // First: one that does not end when it is asked would hold up the init's own shutdown for minutes.
            commands.end_all(PATIENCE);
            ask_init();
        }
        PowerAction::PowerOff => {
            commands.end_all(HASTE);
            power_off();
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

/// Writes everything out and takes the power away.
fn power_off() {
    rustix::fs::sync();
    // Best effort: with files open for writing the first is refused; the second reaches the file systems below the
    // overlay, which have no mount point in sight, and returns before it is done.
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let _ = mount(None::<&str>, "/", None::<&str>, read_only, None::<&str>);
    let _ = fs::write("/proc/sysrq-trigger", "u");
    rustix::fs::sync();
    // Returns only if it is refused; then the host ends the machine by its VMM.
    let _ = reboot(RebootCommand::PowerOff);
}
