//! The end of the machine.

use std::io::Write as _;
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
    let mut console = std::io::stdout();
    let _ = writeln!(console, "banger: {line}");
    let _ = console.flush();
    let _ = rustix::termios::tcdrain(&console);
}

/// Writes everything out and leaves the machine. File systems are synced, not unmounted.
pub(super) fn end(how: Shutdown) -> ! {
    rustix::fs::sync();
    let command = command(how, powers_off_by_reset());
    loop {
        // Fails only without the right to, which PID 1 has; where the kernel only halts, this waits for the host.
        let _ = reboot(command);
        thread::sleep(Duration::from_secs(1));
    }
}
