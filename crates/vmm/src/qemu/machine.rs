//! A QEMU that was started, by this daemon or an earlier one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use process::{Handle, ProcessError, Signal, read_record, remove_record};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::arguments::disk_node;
use super::qmp::{Cause, Request, Session};
use super::{AGENT_SOCKET, PROCESS_RECORD, QMP_SOCKET, end};
use crate::logs::KEEPER_RECORD;
use crate::{Channel, Folder, Machine, VmmError};

/// How long, after QEMU has ended, its last words and its logs' last lines are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The machine.
#[derive(Debug)]
pub(super) struct QemuMachine {
    folder: Folder,
    process: Handle,
    /// The process that keeps the logs, unless it is gone.
    keeper: Option<Handle>,
    /// What QEMU said of its end. The sender is gone when nothing more is to come.
    cause: watch::Receiver<Option<Cause>>,
    /// Commands for QEMU.
    requests: mpsc::Sender<Request>,
    listener: AbortHandle,
}

impl QemuMachine {
    /// One that has just been started.
    pub(super) fn started(folder: Folder, process: Handle, keeper: Handle, session: Session) -> Self {
        Self::new(folder, process, Some(keeper), async { Some(session) })
    }

    fn new(
        folder: Folder,
        process: Handle,
        keeper: Option<Handle>,
        session: impl Future<Output = Option<Session>> + Send + 'static,
    ) -> Self {
        let (sender, cause) = watch::channel(None);
        let (requests, receiver) = mpsc::channel(4);
        let listener = tokio::spawn(async move {
            if let Some(session) = session.await {
                let _ = sender.send(session.until_end(receiver).await);
            }
        });
        Self {
            folder,
            process,
            keeper,
            cause,
            requests,
            listener: listener.abort_handle(),
        }
    }

    async fn obey(&self, command: &'static str, arguments: serde_json::Value) -> Result<(), VmmError> {
        let gone = || VmmError::Control {
            message: "it was closed".to_owned(),
        };
        let (answer, outcome) = oneshot::channel();
        let request = Request {
            command,
            arguments,
            answer,
        };
        self.requests.send(request).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    async fn why_it_ended(&self) -> Result<String, ProcessError> {
        let ending = self.process.wait().await?;
        let mut cause = self.cause.clone();
        let cause = tokio::time::timeout(LAST_WORDS, cause.wait_for(Option::is_some)).await;
        let cause = cause.ok().and_then(Result::ok).and_then(|cause| *cause);
        if let Some(keeper) = &self.keeper {
            // It ends when it has read all that QEMU said. One that hangs keeps no reason back.
            let _ = tokio::time::timeout(LAST_WORDS, keeper.wait()).await;
        }
        Ok(end::why(cause, ending, self.folder.path()))
    }

    async fn end(&self) -> Result<(), ProcessError> {
        self.process.kill(Signal::KILL)?;
        self.process.wait().await?;
        if let Some(keeper) = &self.keeper {
            // It ends by itself when it has read what is left.
            let ended = tokio::time::timeout(LAST_WORDS, keeper.wait()).await;
            if ended.is_err() {
                keeper.kill(Signal::KILL)?;
                keeper.wait().await?;
            }
        }
        Ok(())
    }

    /// Removes what stands for a running machine, unless another one runs in the folder by now.
    fn forget(&self) -> Result<(), VmmError> {
        let record = self.folder.path().join(PROCESS_RECORD);
        let identity = self.process.identity();
        if read_record(&record).map_err(|error| control(&error))?.as_ref() != Some(identity) {
            return Ok(());
        }
        remove_traces(&self.folder)?;
        // Last: as long as it is there, all of this is done again.
        remove_record(&record, identity).map_err(|error| control(&error))
    }
}

impl Drop for QemuMachine {
    fn drop(&mut self) {
        // The session ends with it, so that another one can begin; QEMU serves one at a time.
        self.listener.abort();
    }
}

impl Machine for QemuMachine {
    fn pid(&self) -> u32 {
        self.process.identity().pid
    }

    fn channel(&self) -> Channel {
        Channel::VirtioSerial {
            socket: self.folder.socket(AGENT_SOCKET),
        }
    }

    fn wait(&self) -> BoxFuture<'_, String> {
        Box::pin(async {
            match self.why_it_ended().await {
                Ok(reason) => reason,
                Err(error) => format!("QEMU cannot be watched: {error}"),
            }
        })
    }

    fn signal(&self, signal: Signal) -> Result<(), VmmError> {
        self.process.kill(signal).map_err(|error| control(&error))
    }

    fn grow_drive(&self, number: usize, size: u64) -> BoxFuture<'_, Result<(), VmmError>> {
        let arguments = serde_json::json!({"node-name": disk_node(number), "size": size});
        Box::pin(self.obey("block_resize", arguments))
    }

    fn kill(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(async {
            self.end().await.map_err(|error| control(&error))?;
            self.forget()
        })
    }
}

/// The machine of `folder`. What one that is gone has left (its sockets, its record) is removed, and so is what a
/// start that was given up has left.
pub(crate) fn find(folder: Folder) -> Result<Option<Arc<dyn Machine>>, VmmError> {
    let record = folder.path().join(PROCESS_RECORD);
    let unreadable = |error: ProcessError| VmmError::File {
        action: "read",
        path: record.clone(),
        source: io::Error::other(error),
    };
    let identity = read_record(&record).map_err(unreadable)?;
    let Some(process) = identity.as_ref().and_then(|identity| identity.open()) else {
        remove_traces(&folder)?;
        if let Some(identity) = identity {
            remove_record(&record, &identity).map_err(unreadable)?;
        }
        return Ok(None);
    };
    let keeper = read_record(&folder.path().join(KEEPER_RECORD));
    let keeper = keeper.ok().flatten().and_then(|keeper| keeper.open());
    let socket = folder.socket(QMP_SOCKET);
    let session = async move {
        match Session::open(&socket).await {
            Ok(session) => Some(session),
            Err(error) => {
                tracing::warn!(%error, "a found QEMU does not say why it will end");
                None
            }
        }
    };
    Ok(Some(Arc::new(QemuMachine::new(folder, process, keeper, session))))
}

/// Removes all that stands for a running machine but its record.
fn remove_traces(folder: &Folder) -> Result<(), VmmError> {
    [AGENT_SOCKET, QMP_SOCKET, KEEPER_RECORD]
        .into_iter()
        .try_for_each(|name| folder.remove(name))
}

fn control(error: &ProcessError) -> VmmError {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    VmmError::Control {
        message: format!("{error}{cause}"),
    }
}
