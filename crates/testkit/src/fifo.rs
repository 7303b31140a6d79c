//! Pipes with a name. Whoever opens one waits for the other end.

use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// Makes a pipe that its owner can open.
///
/// # Panics
/// It cannot be made.
#[track_caller]
pub fn make_fifo(path: impl AsRef<Path>) {
    let path = path.as_ref();
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)
        .unwrap_or_else(|errno| panic!("cannot make the pipe {}: {errno}", path.display()));
}
