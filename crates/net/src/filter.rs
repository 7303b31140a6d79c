//! The frame filter: a program of ours between VMM and passt that keeps a guest from what passt would let it
//! reach.
//!
//! It lies in this crate as an executable file (see `build.rs`) and is run from memory.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use process::{Confinement, Launch, ProcessError, Started};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::messages::Messages;
use crate::{NetError, Subnet};

// The program's own modules, here to be tested and linted like the rest.
#[cfg(test)]
use crate::addresses;
#[cfg(test)]
use crate::subnet;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod relay;

/// What `ps` shows.
const NAME: &str = "banger-frames";
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/frame-filter"));

/// What it stands between, and what it lets through.
pub(crate) struct Between<'a> {
    pub(crate) vmm: UnixStream,
    pub(crate) passt: UnixStream,
    /// Networks that are closed to the guest besides those that always are.
    pub(crate) closed: &'a [Subnet],
    /// Networks that are open to it all the same.
    pub(crate) open: &'a [Subnet],
}

/// Starts it; it ends when the other end of either socket closes.
pub(crate) async fn start(
    folder: &Path,
    record: &Path,
    messages: &Messages,
    between: Between<'_>,
) -> Result<Started, NetError> {
    let prepare = || {
        let program = in_memory().map_err(NetError::FilterProgram)?;
        let mut launch = Launch::of_opened(program, NAME, folder, record);
        launch.output(messages.writer().map_err(NetError::Messages)?);
        for side in [&between.vmm, &between.passt] {
            let number = launch.pass(side.try_clone().map_err(NetError::Socket)?.into());
            launch.argument(number.to_string());
        }
        launch.arguments(between.closed.iter().map(|network| format!("-{network}")));
        launch.arguments(between.open.iter().map(|network| format!("+{network}")));
        Ok(launch)
    };
    let mut launch = prepare()?;
    launch.confine(confinement(folder).map_err(NetError::FilterProgram)?);
    let started = match launch.start().await {
        Err(ProcessError::Confine { source, .. }) => {
            let reason = source.reason();
            tracing::warn!(
                reason,
                "this host lets no process be confined: the frame filter runs unconfined"
            );
            prepare()?.start().await
        }
        other => other,
    };
    started.map_err(NetError::FilterStart)
}

/// It reads what guests send: it sees nothing of the host but the libraries that it is linked with, and what it has is
/// the two sockets.
fn confinement(folder: &Path) -> io::Result<Confinement> {
    let number = folder.metadata()?.ino() % u64::from(u32::MAX);
    let mut confinement = Confinement::new(number as u32);
    confinement.show_programs();
    Ok(confinement)
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
