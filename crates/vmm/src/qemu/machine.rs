//! A QEMU that was started, by this daemon or an earlier one.

use std::sync::Arc;

use futures::future::BoxFuture;
use process::{ProcessError, Signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::arguments::disk_node;
use super::qmp::{Cause, Request, Session, Status};
use super::{AGENT_SOCKET, QMP_SOCKET, end};
use crate::groups;
use crate::processes::Processes;
use crate::{Channel, End, Folder, Machine, VmmError};

/// The machine.
#[derive(Debug)]
pub(super) struct QemuMachine {
    folder: Folder,
    processes: Processes,
    /// What QEMU said of its end. The sender is gone when nothing more is to come.
    cause: watch::Receiver<Option<Cause>>,
    /// Commands for QEMU.
    requests: mpsc::Sender<Request>,
    listener: AbortHandle,
}

impl QemuMachine {
    /// One that has just been started.
    pub(super) fn started(folder: Folder, processes: Processes, session: Session) -> Self {
        Self::new(folder, processes, async { Some(session) })
    }

    fn new(
        folder: Folder,
        processes: Processes,
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
            processes,
            cause,
            requests,
            listener: listener.abort_handle(),
        }
    }

    async fn obey(&self, command: &'static str, arguments: serde_json::Value) -> Result<(), VmmError> {
        self.ask(command, arguments).await.map(drop)
    }

    async fn is_paused(&self) -> Result<bool, VmmError> {
        let status = tokio::select! {
            status = self.ask("query-status", serde_json::json!({})) => status?,
            () = self.processes.until_stopped() => return Ok(true),
        };
        let status: Status = serde_json::from_value(status).map_err(|error| VmmError::Control {
            message: format!("to `query-status`: {error}"),
        })?;
        Ok(!status.running)
    }

    async fn ask(
        &self,
        command: &'static str,
        arguments: serde_json::Value,
    ) -> Result<serde_json::Value, VmmError> {
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

    async fn how_it_ended(&self) -> Result<End, ProcessError> {
        let mut cause = self.cause.clone();
        let last_words = async {
            // Nothing more is to come, or this is it.
            let _ = cause.wait_for(Option::is_some).await;
        };
        let ending = self.processes.ended(&self.folder, last_words).await?;
        let cause = *self.cause.borrow();
        Ok(end::how(cause, ending, self.folder.path()))
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
        self.processes.pid()
    }

    fn channel(&self) -> Channel {
        Channel::VirtioSerial {
            socket: self.folder.socket(AGENT_SOCKET),
        }
    }

    fn wait(&self) -> BoxFuture<'_, End> {
        Box::pin(async {
            match self.how_it_ended().await {
                Ok(end) => end,
                Err(error) => format!("QEMU cannot be watched: {error}").into(),
            }
        })
    }

    fn signal(&self, signal: Signal) -> Result<(), VmmError> {
        self.processes.signal(signal)
    }

    fn grow_drive(&self, number: usize, size: u64) -> BoxFuture<'_, Result<(), VmmError>> {
        let arguments = serde_json::json!({"node-name": disk_node(number), "size": size});
        Box::pin(self.obey("block_resize", arguments))
    }

    fn pause(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(self.obey("stop", serde_json::json!({})))
    }

    fn is_paused(&self) -> BoxFuture<'_, Result<bool, VmmError>> {
        Box::pin(self.is_paused())
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(self.obey("cont", serde_json::json!({})))
    }

    fn kill(&self) -> BoxFuture<'_, Result<(), VmmError>> {
        Box::pin(self.processes.kill(&self.folder, || remove_traces(&self.folder)))
    }
}

/// The machine of `folder`. What one that is gone has left (its sockets, its record) is removed, and so is what a
/// start that was given up has left.
pub(crate) fn find(folder: Folder) -> Result<Option<Arc<dyn Machine>>, VmmError> {
    let Some(processes) = Processes::find(&folder, || remove_traces(&folder))? else {
        return Ok(None);
    };
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
    Ok(Some(Arc::new(QemuMachine::new(folder, processes, session))))
}

/// Removes QEMU's sockets and its control group.
pub(super) fn remove_traces(folder: &Folder) -> Result<(), VmmError> {
    groups::remove(folder.path());
    [AGENT_SOCKET, QMP_SOCKET]
        .into_iter()
        .try_for_each(|name| folder.remove(name))
}
