//! An init that only powers off, or resets where its argument is `reset`: what a boot of this kernel in this VMM costs whoever does it.
//!
//! `make bench` measures banger against it. Run by hand it refuses: it is meant for a guest's PID 1.

use std::process::ExitCode;

use rustix::system::{RebootCommand, reboot};

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("floor: only as the init of a guest");
        return ExitCode::FAILURE;
    }
    // Where there is no power button, a reset is what ends the VMM.
    let end = match std::env::args().nth(1).as_deref() {
        Some("reset") => RebootCommand::Restart,
        _ => RebootCommand::PowerOff,
    };
    match reboot(end) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: cannot end the machine: {error}");
            ExitCode::FAILURE
        }
    }
}
