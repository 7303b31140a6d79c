//! The process of a machine, whichever VMM it has, and the last words that it leaves with the keeper of its logs.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::{
    Ending, Handle, Launch, ProcessError, Signal, Started, read_record, remove_record,
    remove_unfinished_record,
};

use crate::logs::{Keeper, vmm_log};
use crate::text::last_lines;
use crate::{Folder, VmmError, groups};

/// Rest between two looks at whether a process is stopped.
const LOOK: Duration = Duration::from_millis(20);

/// Which process the VMM is.
pub const PROCESS_RECORD: &str = "process.json";
/// How many of its log's last lines an early death is explained with.
const LINES: usize = 3;
/// How long a process that has hung up may take to be gone, and the keeper to have read its last words.
const DYING: Duration = Duration::from_secs(1);
/// How long, after a VMM has ended, its logs' last lines are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The VMM while the machine is not ready yet; dropped, it is ended.
pub(crate) struct Starting {
    binary: PathBuf,
    process: Started,
}

impl Starting {
    /// Starts it, with its logs kept. `binary` is what an error names.
    pub(crate) async fn start(binary: &Path, launch: Launch, keeper: Keeper) -> Result<Self, VmmError> {
        let process = async { launch.start().await.map_err(|error| cannot_start(binary, error)) };
        match tokio::join!(process, keeper.start()) {
            (Ok(process), Ok(())) => Ok(Self {
                binary: binary.to_owned(),
                process,
            }),
            (Ok(process), Err(error)) => {
                end(process).await;
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Waits for what makes the machine ready. An error where that fails, or the VMM has died; it is gone then.
    pub(crate) async fn until<T>(
        self,
        folder: &Folder,
        ready: impl Future<Output = Result<T, VmmError>>,
    ) -> Result<(Processes, T), VmmError> {
        if let Some(error) = self.process.refused_group() {
            groups::refused(folder, error);
        }
        let error = tokio::select! {
            // What a VMM says last comes before its end.
            biased;
            outcome = ready => match outcome {
                Ok(outcome) => {
                    let processes = Processes { process: self.process.keep() };
                    return Ok((processes, outcome));
                }
                Err(error) => Some(error),
            },
            _ = self.process.handle().watch() => None,
        };
        let error = self.why(folder, error).await;
        end(self.process).await;
        Err(error)
    }

    /// What to say of a start that failed, maybe with an error.
    async fn why(&self, folder: &Folder, error: Option<VmmError>) -> VmmError {
        if let Some(error @ VmmError::Refused { .. }) = error {
            // Its own words, whether it ended over them or not.
            return error;
        }
        // A process that dies closes its socket a moment before it is gone, and its log says more than that.
        let died = tokio::time::timeout(DYING, self.process.handle().wait())
            .await
            .is_ok();
        match error {
            Some(error) if !died => error,
            _ => {
                // Not waited for if something else holds the VMM's end of its log open.
                let _ = tokio::time::timeout(DYING, folder.until_logs_are_kept()).await;
                VmmError::DiedAtStart {
                    binary: self.binary.clone(),
                    log: last_lines(&vmm_log(folder.path()).unwrap_or_default(), LINES),
                }
            }
        }
    }
}

/// Ends a process and waits until it is gone.
async fn end(process: Started) {
    match process.handle().kill(Signal::KILL) {
        Ok(()) => drop(process.handle().wait().await),
        Err(error) => tracing::warn!(%error, "cannot end what was started"),
    }
}

/// The VMM of a machine that was started, by this daemon or an earlier one.
#[derive(Debug)]
pub(crate) struct Processes {
    process: Handle,
}

impl Processes {
    /// The one that `folder` tells of. `None`: the VMM is gone; its record and `remove_traces` are then seen to.
    pub(crate) fn find(
        folder: &Folder,
        remove_traces: impl FnOnce() -> Result<(), VmmError>,
    ) -> Result<Option<Self>, VmmError> {
        let record = folder.path().join(PROCESS_RECORD);
        let unreadable = |error: ProcessError| VmmError::File {
            action: "read",
            path: record.clone(),
            source: io::Error::other(error),
        };
        let identity = read_record(&record).map_err(unreadable)?;
        let Some(process) = identity.as_ref().and_then(|identity| identity.open()) else {
            remove_traces()?;
            remove_unfinished_record(&record).map_err(unreadable)?;
            if let Some(identity) = identity {
                remove_record(&record, &identity).map_err(unreadable)?;
            }
            return Ok(None);
        };
        Ok(Some(Self { process }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.identity().pid
    }

    /// Whether a signal has stopped the process: then it does not answer.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // The name before it may hold anything, parentheses too.
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    }

    /// Ends once it has: of one that has just been sent the signal, or is sent it while it is asked something.
    pub(crate) async fn until_stopped(&self) {
        while !self.is_stopped() {
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), VmmError> {
        self.process.kill(signal).map_err(|error| control(&error))
    }

    /// Waits for the VMM's end and then, bounded, until its last words are in the log.
    pub(crate) async fn ended(
        &self,
        folder: &Folder,
        last_words: impl Future<Output = ()>,
    ) -> Result<Ending, ProcessError> {
        let ending = self.process.watch().await?;
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
        // A keeper that hangs keeps no reason back.
        let _ = tokio::time::timeout(LAST_WORDS, folder.until_logs_are_kept()).await;
        Ok(ending)
    }

    /// Ends it, then removes what stands for a running machine, unless another one runs in the folder by now.
    pub(crate) async fn kill(
        &self,
        folder: &Folder,
        remove_traces: impl FnOnce() -> Result<(), VmmError>,
    ) -> Result<(), VmmError> {
        self.end(folder).await.map_err(|error| control(&error))?;
        let record = folder.path().join(PROCESS_RECORD);
        let identity = self.process.identity();
        if read_record(&record).map_err(|error| control(&error))?.as_ref() != Some(identity) {
            return Ok(());
        }
        remove_traces()?;
        // Last: as long as it is there, all of this is done again.
        remove_record(&record, identity).map_err(|error| control(&error))
    }

    async fn end(&self, folder: &Folder) -> Result<(), ProcessError> {
        self.process.kill(Signal::KILL)?;
        self.process.wait().await?;
        // What is left in the pipes is read by the keeper, which is through with them then.
        let _ = tokio::time::timeout(LAST_WORDS, folder.until_logs_are_kept()).await;
        Ok(())
    }
}

/// Opens a file of a machine, to hand it over or to find out in time that it is not there.
pub(crate) fn open(path: &Path, read_only: bool) -> Result<OwnedFd, VmmError> {
    let file = File::options().read(true).write(!read_only).open(path);
    file.map(Into::into).map_err(|source| VmmError::File {
        action: "open",
        path: path.to_owned(),
        source,
    })
}

/// What keeps a VMM from being run, told from its not being there.
pub(crate) fn cannot_execute(binary: &Path, source: io::Error) -> VmmError {
    if source.kind() == io::ErrorKind::NotFound {
        return VmmError::BinaryMissing {
            binary: binary.display().to_string(),
        };
    }
    VmmError::Spawn {
        binary: binary.to_owned(),
        source,
    }
}

fn cannot_start(binary: &Path, error: ProcessError) -> VmmError {
    match error {
        ProcessError::Execute { source, .. } => cannot_execute(binary, source),
        ProcessError::Confine { source, .. } => VmmError::Confine {
            binary: binary.to_owned(),
            source,
        },
        ProcessError::Wire { source, .. } => VmmError::Card {
            binary: binary.to_owned(),
            source,
        },
        other => cannot_execute(binary, io::Error::other(other)),
    }
}

fn control(error: &ProcessError) -> VmmError {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    VmmError::Control {
        message: format!("{error}{cause}"),
    }
}
