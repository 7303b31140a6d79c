//! The end of the machine.

use std::fs::File;
use std::io::{self, Write as _};
use std::panic;
use std::thread;
use std::time::Duration;

use guest::Shutdown;
use rustix::system::reboot;

use super::error::line;
use super::parameters::powers_off_by_reset;
use crate::power::command;

/// Says on the console why the machine does not come up, and powers it off.
pub(super) fn fail(error: &dyn std::error::Error) -> ! {
    say(&line(error));
    end(Shutdown::PowerOff)
}

/// A panic of PID 1 would be the kernel's: it ends the machine with a line like any failure.
pub(super) fn never_panic() {
    panic::set_hook(Box::new(|about| {
        say(&format!("internal error: {about}").replace('\n', " "));
        end(Shutdown::PowerOff)
    }));
}

/// One line on the console, there when it returns.
fn say(line: &str) {
    // stdout is the console that the kernel opened for its init. It may be gone; then nobody reads it.
    let mut console = io::stdout();
    let _ = writeln!(console, "banger: {line}");
    let _ = console.flush();
    let _ = rustix::termios::tcdrain(&console);
}

/// Before a reset that is no reboot: says so on the console, as a kernel with a power button does. What the agent tells the
/// host may not arrive, since no daemon runs or the agent hangs, and the kernel's own line is that of a reboot.
pub(crate) fn mark(how: Shutdown) {
    let line = match how {
        _ if !powers_off_by_reset() => return,
        Shutdown::PowerOff => "banger: power off",
        Shutdown::Halt => "banger: halt",
        Shutdown::Reboot => return,
    };
    if to_kernel(line).is_err() {
        // Some inits take /dev away.
        let _ = writeln!(io::stdout(), "\n{line}");
    }
}

/// At the highest level, which no setting of the guest's keeps off the console.
fn to_kernel(line: &str) -> io::Result<()> {
    File::options()
        .write(true)
        .open("/dev/kmsg")?
        .write_all(format!("<0>{line}\n").as_bytes())
}

/// Writes everything out and leaves the machine. File systems are synced, not unmounted.
pub(super) fn end(how: Shutdown) -> ! {
    rustix::fs::sync();
    mark(how);
    let command = command(how, powers_off_by_reset());
    loop {
        // Fails only without the right to, which PID 1 has; where the kernel only halts, this waits for the host.
        let _ = reboot(command);
        thread::sleep(Duration::from_secs(1));
    }
}
