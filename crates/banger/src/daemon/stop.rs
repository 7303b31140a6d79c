//! Ending a daemon and waiting until it is gone.
//!
//! Whom to signal the kernel says, which knows who listens at the socket, and it is held by a pidfd: nobody else can be
//! meant by it, whoever is given that pid afterwards.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use api::client::{Client, ClientError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::PATIENCE;
use crate::failure::Failure;

/// How long a daemon may take to end: it lets requests that are under way come to their ends.
const END: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// What there was to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// A daemon, which is gone now.
    Now,
    /// None.
    Before,
}

/// Ends the daemon that listens at `socket`.
///
/// # Errors
/// It does not answer, is none, or does not end.
pub async fn stop(socket: &Path) -> Result<Stopped, Failure> {
    let client = match Client::new(socket).hold().await {
        Ok(client) => client.with_patience(PATIENCE),
        Err(ClientError::Unreachable { .. }) => return Ok(Stopped::Before),
        Err(error) => return Err(error.into()),
    };
    let elsewhere = || Failure::new("cannot end the daemon: it runs in another container or pid namespace");
    let pid = client.listener().and_then(Pid::from_raw).ok_or_else(elsewhere)?;
    let failed = |error: io::Error| Failure::new(format!("cannot end the daemon, pid {pid}: {error}"));
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(rustix::io::Errno::SRCH) => return Ok(Stopped::Before),
        Err(error) => return Err(failed(error.into())),
    };
    // Who answers after the pidfd was opened is the one it stands for.
    match client.version().await {
        Ok(version) if i64::from(version.pid) == i64::from(pid.as_raw_nonzero().get()) => {}
        Ok(_) => return Err(elsewhere()),
        Err(ClientError::Unreachable { .. } | ClientError::Broke(_)) => return Ok(Stopped::Before),
        Err(error @ ClientError::Silent { .. }) => {
            return Err(
                Failure::from(error).with_hint(format!("`kill -KILL {pid}` ends it all the same; VMs go on"))
            );
        }
        Err(error) => return Err(error.into()),
    }
    // It waits for its clients, for a while.
    drop(client);
    match pidfd_send_signal(&process, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(failed(error.into())),
    }
    let ended = tokio::task::spawn_blocking(move || ended(&process)).await;
    match ended.map_err(|error| failed(error.into()))?.map_err(failed)? {
        true => Ok(Stopped::Now),
        false => Err(Failure::new(format!(
            "the daemon, pid {pid}, has not ended within {} s",
            END.tv_sec
        ))
        .with_hint(format!("`kill -KILL {pid}` ends it all the same; VMs go on"))),
    }
}

/// Waits for the end of a process, whose pidfd can then be read from (`pidfd_open(2)`); false if it does not come.
fn ended(process: &OwnedFd) -> io::Result<bool> {
    let mut polled = [PollFd::new(process, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut polled, Some(&END)))
        .map(|count| count > 0)
        .map_err(Into::into)
}
