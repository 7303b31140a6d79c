//! A Firecracker that was started, by this daemon or an earlier one.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use process::Signal;
use rustix::fs::OFlags;

use super::api::Api;
use super::requests::{ChangedDrive, VmState};
use super::world::{self, AGENT, API, WORLD, in_folder};
use super::{end, jail, snapshot};
use crate::groups;
use crate::processes::Processes;
use crate::{Channel, End, Folder, Machine, VmmError};

/// The machine.
#[derive(Debug)]
pub(super) struct FirecrackerMachine {
    folder: Folder,
    processes: Processes,
}

impl FirecrackerMachine {
    pub(super) fn new(folder: Folder, processes: Processes) -> Self {
        Self { folder, processes }
    }

    async fn api(&self) -> Result<Api, VmmError> {
        Api::connect(&self.folder.socket(&in_folder(API))).await
    }

    async fn become_state(&self, state: &VmState) -> Result<(), VmmError> {
        self.api().await?.patch("/vm", state).await
    }

    async fn grow(&self, number: usize, size: u64) -> Result<(), VmmError> {
        let path = self.folder.path().join(in_folder(&world::drive(number)));
        // A link in a world that Firecracker cannot change, the file itself in a jail, where it may change what it likes.
        let jailed = self.folder.path().join(WORLD).is_symlink();
        let flags = if jailed { OFlags::NOFOLLOW } else { OFlags::empty() };
        let grown = File::options()
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(&path)
            .and_then(|file| file.set_len(size));
        grown.map_err(|source| VmmError::File {
            action: "grow",
            path,
            source,
        })?;
        let drive = format!("/drives/{}", world::drive(number));
        self.api().await?.patch(&drive, &ChangedDrive::of(number)).await
    }
}

impl Machine for FirecrackerMachine {
    fn pid(&self) -> u32 {
        self.processes.pid()
    }

    fn channel(&self) -> Channel {
        Channel::Vsock {
            socket: self.folder.socket(&in_folder(AGENT)),
        }
    }

    fn wait(&self) -> BoxFuture<'_, End> {
        Box::pin(async {
            match self.processes.ended(&self.folder, std::future::ready(())).await {
                Ok(ending) => end::how(ending, self.folder.path()),
                Err(error) => format!("Firecracker cannot be watched: {error}").into(),
            }
        })
    }

    fn signal(&self, signal: Signal) -> Result<(), VmmError> {
        // It has no answer of its own to these, so they end it, but not where it is the first process that it sees:
        // there the system drops them.
        let ends = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].contains(&signal);
        self.processes.signal(if ends { Signal::KILL } else { signal })
    }

    fn grow_drive(&self, number: usize, size: u64) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(self.grow(number, size))
    }

    fn pause(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(self.become_state(&VmState::PAUSED))
    }

    fn is_paused(&self) -> BoxFuture<'_, Result<bool, VmmError>> {
        Box::pin(async {
            tokio::select! {
                paused = async { self.api().await?.is_paused().await } => paused,
                () = self.processes.until_stopped() => Ok(true),
            }
        })
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(self.become_state(&VmState::RESUMED))
    }

    fn snapshot<'a>(&'a self, into: &'a Path) -> BoxFuture<'a, Result<(), VmmError>> {
        Box::pin(async { snapshot::create(&mut self.api().await?, &self.folder, into).await })
    }

    fn kill(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(self.processes.kill(&self.folder, || remove_traces(&self.folder)))
    }
}

/// The machine of `folder`. What one that is gone has left is removed, and so is what a start that was given up has.
pub(crate) fn find(folder: Folder) -> Result<Option<Arc<dyn Machine>>, VmmError> {
    let processes = Processes::find(&folder, || remove_traces(&folder))?;
    Ok(processes.map(|processes| Arc::new(FirecrackerMachine::new(folder, processes)) as Arc<dyn Machine>))
}

/// Removes Firecracker's world, its jail too if it has one; what links in it lead to stays.
pub(super) fn remove_traces(folder: &Folder) -> Result<(), VmmError> {
    groups::remove(folder.path());
    jail::remove(folder)
}
