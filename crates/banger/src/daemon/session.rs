//! A process in a session of its own: the terminal's Ctrl-C and hang-up are not for it.
#![expect(
    unsafe_code,
    reason = "the standard library has no safe way to call setsid between fork and exec"
)]

use std::io;

use tokio::process::Command;

/// Makes the command start a session of its own.
pub fn detach(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; setsid is one (signal-safety(7)), and
    // making an `io::Error` of an error number allocates nothing.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()
                .map(drop)
                .map_err(|error| io::Error::from_raw_os_error(error as i32))
        });
    }
}
