//! The frame filter: a program of ours between VMM and passt that keeps a guest from what passt would let it
//! reach.
//!
//! It lies in this crate as an executable file (see `build.rs`) and is run from memory.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use process::{Launch, Started};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::NetError;
use crate::messages::Messages;

// The program's own modules, here to be tested and linted like the rest.
#[cfg(test)]
use crate::addresses;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod relay;

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/frame-filter"));

/// Starts it between two sockets; it ends when the other end of either closes.
pub(crate) async fn start(
    folder: &Path,
    record: &Path,
    messages: &Messages,
    vmm: UnixStream,
    passt: UnixStream,
) -> Result<Started, NetError> {
    let program = in_memory().map_err(NetError::FilterProgram)?;
    let mut launch = Launch::new(format!("/proc/self/fd/{}", program.as_raw_fd()), folder, record);
    launch.pass(program);
    launch.output(messages.writer().map_err(NetError::Messages)?);
    for side in [vmm, passt] {
        let number = launch.pass(side.into());
        launch.argument(number.to_string());
    }
    launch.start().await.map_err(NetError::FilterStart)
}

/// A file of the program that has no name and cannot be changed any more.
fn in_memory() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let make = |flags| rustix::fs::memfd_create("frame-filter", flags);
    // Kernels before 6.3 do not know that a file may be said to be executable, and take each for one.
    let descriptor = make(flags | MemfdFlags::EXEC).or_else(|_| make(flags))?;
    let mut file = std::fs::File::from(descriptor);
    file.write_all(PROGRAM)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file.into())
}
