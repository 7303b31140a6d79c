//! A program that speaks a protocol of its own on one socket, as inetd would start it.

use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use guest::Problem;
use tokio::process::{Child, Command};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::cgroup::Group;
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
    group: Option<Group>,
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
        let group = commands.groups.as_ref().and_then(|groups| groups.create());
        let cgroup = group.as_ref().map(|group| group.entrance()).transpose();
        let entry = Entry {
            cgroup: cgroup.map_err(|error| internal("cannot open the program's cgroup", error))?,
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
                group,
                _slot: slot,
            }),
            Err(failure) => {
                if let Some(group) = group {
                    group.remove();
                }
                Err(internal("cannot start the program", failure.cause))
            }
        }
    }

    /// Waits until it has ended; its socket is closed.
    pub(crate) async fn ended(mut self) -> Option<ExitStatus> {
        let status = match timeout(LAST_MOMENT, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = self.child.kill().await;
                None
            }
        };
        if let Some(group) = self.group.filter(|group| !group.is_populated()) {
            group.remove_emptied().await;
        }
        status
    }
}
