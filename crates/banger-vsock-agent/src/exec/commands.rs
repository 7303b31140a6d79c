//! All commands of a machine: what they have in common, and how many there may be.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use guest::{Exec, Problem};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::process::Command;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cgroup::Groups;
use super::launch;
use super::running::Running;
use super::service::Service;
use crate::problem::internal;

/// Commands at a time; more of them wait. The host keeps to the same number in each of its sessions.
const MAX_COMMANDS: usize = 256;

/// Where the commands' cgroups are made; beside them lies the agent's.
const GROUPS: &str = "/sys/fs/cgroup/banger";

/// Files that a process may ask to have open, as systemd gives its services: the kernel's 4096 is of another time. The
/// 1024 that they have without asking is what programs that use `select` can do with.
const OPEN_FILES: u64 = 524_288;

/// What the commands of a machine have in common.
#[derive(Debug)]
pub struct Commands {
    /// Below it lie the files that name users.
    pub(super) root: PathBuf,
    /// Who runs commands that name nobody.
    pub(super) default_user: String,
    /// Whether commands die with the agent.
    pub(super) end_with_agent: bool,
    pub(super) groups: Option<Groups>,
    /// Limits of open files, where they are not the agent's own.
    pub(super) open_files: Option<Rlimit>,
    environment: Mutex<BTreeMap<String, String>>,
    slots: Arc<Semaphore>,
    closing: AtomicBool,
}

impl Commands {
    /// Commands of the guest that the agent runs in.
    pub(crate) fn in_guest() -> Self {
        let own = Rlimit {
            current: Some(OPEN_FILES),
            maximum: Some(OPEN_FILES),
        };
        // Each command takes four. Refused to anybody but root, who the agent is in a guest.
        let _ = setrlimit(Resource::Nofile, own);
        let theirs = Rlimit {
            current: Some(1024),
            maximum: Some(OPEN_FILES),
        };
        Self {
            open_files: Some(theirs),
            ..Self::new("root".to_owned(), false, Some(Groups::new(GROUPS)))
        }
    }

    /// Commands of a host process: its own user's, without cgroups, and they die with it.
    pub(crate) fn hosted() -> Self {
        Self::new(rustix::process::geteuid().as_raw().to_string(), true, None)
    }

    fn new(default_user: String, end_with_agent: bool, groups: Option<Groups>) -> Self {
        Self {
            root: "/".into(),
            default_user,
            end_with_agent,
            groups,
            open_files: None,
            environment: Mutex::default(),
            slots: Arc::new(Semaphore::new(MAX_COMMANDS)),
            closing: AtomicBool::new(false),
        }
    }

    /// Gives later commands these variables.
    pub(crate) fn set_environment(&self, environment: BTreeMap<String, String>) {
        *self.environment.lock().unwrap_or_else(PoisonError::into_inner) = environment;
    }

    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        self.environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Starts a command, once there is room for one more.
    pub(crate) async fn start(&self, exec: &Exec) -> Result<Running, Problem> {
        launch::launch(self, exec, self.slot().await?)
    }

    /// Starts a program that serves the other end of `socket`, once there is room for one more.
    pub(crate) async fn serve(&self, command: Command, socket: OwnedFd) -> Result<Service, Problem> {
        Service::start(self, command, socket, self.slot().await?)
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let no_room = |error| internal("no room for the command", error);
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(no_room)?;
        if self.closing.load(Ordering::Relaxed) {
            return Err(internal(
                "cannot start the command",
                "the machine is shutting down",
            ));
        }
        Ok(slot)
    }

    /// Ends all commands and starts no more. Blocks for up to `patience`.
    pub(crate) fn end_all(&self, patience: Duration) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(groups) = &self.groups {
            groups.end_all(patience);
        }
    }
}
