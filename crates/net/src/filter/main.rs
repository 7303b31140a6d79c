//! The process between a VMM and its passt. `net` carries it inside and starts it from memory.
//!
//! Takes the numbers of two open sockets: the VMM's and passt's. Ends when either closes.

#[path = "../addresses.rs"]
mod addresses;
mod frames;
mod policy;
mod refusal;
mod relay;

use std::ffi::c_int;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// `prctl(2)`.
const PR_SET_NAME: c_int = 15;

unsafe extern "C" {
    fn prctl(option: c_int, ...) -> c_int;
}

fn main() -> ExitCode {
    // What `ps` shows; only a convenience. SAFETY: reads a C string.
    unsafe { prctl(PR_SET_NAME, c"banger-frames".as_ptr()) };
    let numbers: Vec<RawFd> = std::env::args()
        .skip(1)
        .flat_map(|number| number.parse())
        .collect();
    let &[vmm, passt] = &numbers[..] else {
        eprintln!("the frame filter takes the numbers of two sockets");
        return ExitCode::FAILURE;
    };
    // SAFETY: whoever starts this program hands these two descriptors over to it.
    let (vmm, passt) = unsafe { (UnixStream::from_raw_fd(vmm), UnixStream::from_raw_fd(passt)) };
    match relay::run(&vmm, &passt) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
