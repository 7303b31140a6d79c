//! The process between a VMM and its passt. `net` carries it inside and starts it from memory.
//!
//! Takes the numbers of two open sockets, the VMM's and passt's, and what a guest may not reach (`-NETWORK`) or may all
//! the same (`+NETWORK`). Ends when either side does.

#[path = "../addresses.rs"]
mod addresses;
mod frames;
mod handover;
mod policy;
mod refusal;
mod relay;
#[path = "../subnet.rs"]
mod subnet;

use std::ffi::c_int;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use policy::Policy;

/// `prctl(2)`.
const PR_SET_NAME: c_int = 15;

unsafe extern "C" {
    fn prctl(option: c_int, ...) -> c_int;
}

fn main() -> ExitCode {
    // What `ps` shows; only a convenience. SAFETY: reads a C string.
    unsafe { prctl(PR_SET_NAME, c"banger-frames".as_ptr()) };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<RawFd> = arguments
        .iter()
        .take(2)
        .flat_map(|number| number.parse())
        .collect();
    let policy = Policy::parse(arguments.get(2..).unwrap_or_default());
    let (&[vmm, passt], Ok(policy)) = (&numbers[..], policy) else {
        eprintln!("the frame filter takes the numbers of two sockets and networks");
        return ExitCode::FAILURE;
    };
    // SAFETY: whoever starts this program hands these two descriptors over to it.
    let (vmm, passt) = unsafe { (UnixStream::from_raw_fd(vmm), UnixStream::from_raw_fd(passt)) };
    match relay::run(&vmm, &passt, &policy) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
