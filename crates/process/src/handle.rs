//! An open process: wait for its end, signal it, and never hit another one.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::readiness::until_readable;
use crate::{Identity, ProcessError};

/// How often a process is looked at that may have lost its main thread, and how soon again if it has.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an exit code.
    Exited(i32),
    /// Killed by a signal.
    Signalled(i32),
    /// Its main thread ended alone; the others were killed ([`Handle::watch`]).
    Headless,
    /// Somebody else's child: the system tells only its parent.
    Unknown,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signalled(number) => match nix::sys::signal::Signal::try_from(*number) {
                Ok(signal) => write!(f, "{}", signal.as_str()),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::Headless => f.write_str("the end of its main thread"),
            Self::Unknown => write!(f, "no exit code known"),
        }
    }
}

/// A descriptor of one process (`pidfd_open(2)`), our child or not.
#[derive(Debug)]
pub struct Handle {
    identity: Identity,
    descriptor: OwnedFd,
    /// Filled by the task that reaps it, for a child of ours.
    reaped: Option<watch::Receiver<Option<Ending>>>,
    /// When it was first seen without its main thread, which never comes back.
    headless_since: OnceLock<Instant>,
}

impl Handle {
    /// A process that an earlier daemon started.
    pub(crate) fn found(identity: Identity, descriptor: OwnedFd) -> Self {
        Self {
            identity,
            descriptor,
            reaped: None,
            headless_since: OnceLock::new(),
        }
    }

    /// A child of ours, which a task of `runtime` reaps when it ends.
    pub(crate) fn child(identity: Identity, descriptor: OwnedFd, runtime: &runtime::Handle) -> Self {
        let (sender, reaped) = watch::channel(None);
        let pid = identity.pid;
        match descriptor.try_clone() {
            Ok(own) => {
                runtime.spawn(async move {
                    if let Err(error) = until_readable(&own).await {
                        tracing::warn!(pid, %error, "cannot watch a child; it stays unreaped");
                    } else {
                        let _ = sender.send(Some(reap(&own)));
                    }
                });
            }
            Err(error) => tracing::warn!(pid, %error, "cannot watch a child; it stays unreaped"),
        }
        Self {
            identity,
            descriptor,
            reaped: Some(reaped),
            headless_since: OnceLock::new(),
        }
    }

    /// Which process this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Waits until the process has ended and, if it is our child, has been reaped. May be called any number of
    /// times, also at once.
    ///
    /// # Errors
    /// [`ProcessError::Watch`] where the system has no descriptors left.
    pub async fn wait(&self) -> Result<Ending, ProcessError> {
        if let Some(reaped) = &self.reaped {
            let mut reaped = reaped.clone();
            if let Ok(ending) = reaped.wait_for(Option::is_some).await {
                return Ok(ending.unwrap_or(Ending::Unknown));
            }
        }
        until_readable(&self.descriptor)
            .await
            .map_err(|source| ProcessError::Watch {
                pid: self.identity.pid,
                source,
            })?;
        Ok(Ending::Unknown)
    }

    /// Waits as [`Handle::wait`] does, and ends the process where its main thread has ended and left others behind: to
    /// the system, such a process has not ended, and no descriptor of it tells. It is looked for every second.
    ///
    /// # Errors
    /// As of [`Handle::wait`] and [`Handle::kill`].
    pub async fn watch(&self) -> Result<Ending, ProcessError> {
        tokio::select! {
            biased;
            ending = self.wait() => ending,
            () = self.until_headless() => {
                self.kill(Signal::KILL)?;
                self.wait().await?;
                Ok(Ending::Headless)
            }
        }
    }

    /// Until it has been so for a while: one that is just ending, all threads at once, is so for a moment as well.
    async fn until_headless(&self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            while self.identity.is_headless() {
                let since = self.headless_since.get_or_init(Instant::now);
                match LOOK_AGAIN.checked_sub(since.elapsed()) {
                    Some(rest) => tokio::time::sleep(rest).await,
                    None => return,
                }
            }
        }
    }

    /// Sends a signal; SIGKILL to the whole of a process group that it leads. Fine if the process has ended.
    ///
    /// # Errors
    /// [`ProcessError::Signal`] where the system forbids it.
    pub fn kill(&self, signal: Signal) -> Result<(), ProcessError> {
        if signal == Signal::KILL {
            self.identity.kill_group();
        }
        match pidfd_send_signal(&self.descriptor, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(ProcessError::Signal {
                pid: self.identity.pid,
                source: error.into(),
            }),
        }
    }
}

fn reap(descriptor: &OwnedFd) -> Ending {
    let status = waitid(WaitId::PidFd(descriptor.as_fd()), WaitIdOptions::EXITED)
        .ok()
        .flatten();
    status.as_ref().map_or(Ending::Unknown, ending_of)
}

pub(crate) fn ending_of(status: &WaitIdStatus) -> Ending {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, Some(signal)) => Ending::Signalled(signal),
        (None, None) => Ending::Unknown,
    }
}
