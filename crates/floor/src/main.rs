//! An init that only powers off: what a boot of this kernel in this VMM costs whoever does it.
//!
//! `make bench` measures banger against it. Run by hand it refuses: it is meant for a guest's PID 1.

use std::process::ExitCode;

use rustix::system::{RebootCommand, reboot};

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("floor: only as the init of a guest");
        return ExitCode::FAILURE;
    }
    match reboot(RebootCommand::PowerOff) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: cannot power off: {error}");
            ExitCode::FAILURE
        }
    }
}
