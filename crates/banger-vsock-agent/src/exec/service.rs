//! A program that speaks a protocol of its own on one socket, as inetd would start it.

use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use guest::Problem;
use tokio::process::{Child, Command};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::cgroup::{Group, Groups};
use super::commands::Commands;
use super::environment;
use super::spawn::{self, Entry};
use crate::problem::internal;

/// What a program gets to end by itself once its socket is closed.
const LAST_MOMENT: Duration = Duration::from_secs(10);

/// A program that was started. What it starts itself may outlive it: only it is ever ended.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    _group: Option<Group>,
    _slot: OwnedSemaphorePermit,
}

impl Service {
    /// Starts it as root with the socket as its standard input and output.
    pub(super) fn start(
        commands: &Commands,
        mut command: Command,
        socket: OwnedFd,
        slot: OwnedSemaphorePermit,
    ) -> Result<Self, Problem> {
        let failed = |error| internal("cannot give the program its socket", error);
        let output = socket.try_clone().map_err(failed)?;
        command
            .env_clear()
            .env("PATH", environment::PATH)
            .stdin(Stdio::from(socket))
            .stdout(Stdio::from(output))
            .stderr(Stdio::null());
        let group = commands.groups.as_ref().and_then(Groups::take);
        let entry = Entry {
            cgroup: group.as_ref().and_then(Group::entrance),
            terminal: false,
            credentials: None,
            workdir: c"/".to_owned(),
            workdir_optional: true,
            ends_with_agent: commands.end_with_agent,
            open_files: commands.open_files,
        };
        match spawn::spawn(command, entry) {
            Ok(child) => Ok(Self {
                child,
                _group: group,
                _slot: slot,
            }),
            Err(failure) => Err(internal("cannot start the program", failure.cause)),
        }
    }

    /// Waits until it has ended; its socket is closed.
    pub(crate) async fn ended(mut self) -> Option<ExitStatus> {
        match timeout(LAST_MOMENT, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = self.child.kill().await;
                None
            }
        }
    }
}
