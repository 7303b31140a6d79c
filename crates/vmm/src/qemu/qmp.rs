//! QMP, QEMU's control protocol: a JSON object a line, as much of it as is used here.
//!
//! <https://www.qemu.org/docs/master/interop/qmp-spec.html>. A guest that broke out of its machine may speak at the
//! other end: lines are bounded, decoding is strict, and waiting has an end.

mod message;

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::VmmError;
pub(super) use message::Cause;
pub(super) use message::Status;
use message::{Event, Message};

/// Longest line in bytes.
const LONGEST: u64 = 1 << 20;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A command for a session that listens.
#[derive(Debug)]
pub(super) struct Request {
    /// Its name.
    pub(super) command: &'static str,
    /// Its arguments, an object.
    pub(super) arguments: Value,
    /// Gets the outcome.
    pub(super) answer: oneshot::Sender<Result<Value, VmmError>>,
}

/// An open session. QEMU serves one at a time.
#[derive(Debug)]
pub(super) struct Session {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// A line of which the end has not come yet.
    line: Vec<u8>,
    /// The last reason to end that QEMU told of.
    cause: Option<Cause>,
}

impl Session {
    /// Connects and waits until QEMU obeys.
    pub(super) async fn open(socket: &Path) -> Result<Self, VmmError> {
        in_time(async {
            let stream = UnixStream::connect(socket)
                .await
                .map_err(|error| silent(&format!("cannot connect: {error}")))?;
            let (reader, writer) = stream.into_split();
            let mut session = Self {
                reader: BufReader::new(reader),
                writer,
                line: Vec::new(),
                cause: None,
            };
            match session.read().await? {
                Some(Message::Greeting) => {}
                other => return Err(silent(&format!("no greeting but {other:?}"))),
            }
            let _: serde_json::Map<_, _> = session.command("qmp_capabilities", None).await?;
            let _: Status = session.command("query-status", None).await?;
            Ok(session)
        })
        .await
    }

    /// Listens until QEMU has ended, and gives why it did, as far as it said. Carries out what is requested
    /// meanwhile.
    pub(super) async fn until_end(mut self, mut requests: mpsc::Receiver<Request>) -> Option<Cause> {
        loop {
            let message = tokio::select! {
                message = self.read() => message,
                Some(request) = requests.recv() => {
                    let Request { command, arguments, answer } = request;
                    let outcome = in_time(self.command::<Value>(command, Some(arguments))).await;
                    let _ = answer.send(outcome);
                    continue;
                }
            };
            match message {
                Ok(Some(message)) => self.note(&message),
                Ok(None) => return self.cause,
                Err(error) => {
                    tracing::warn!(%error, "not listening to QEMU any more");
                    return self.cause;
                }
            }
        }
    }

    async fn command<T: DeserializeOwned>(
        &mut self,
        name: &str,
        arguments: Option<Value>,
    ) -> Result<T, VmmError> {
        let mut line = serde_json::json!({ "execute": name });
        if let Some(arguments) = arguments {
            line["arguments"] = arguments;
        }
        let mut line = line.to_string();
        line.push('\n');
        self.writer
            .write_all(line.as_bytes())
            .await
            .map_err(|error| silent(&error.to_string()))?;
        loop {
            match self.read().await? {
                Some(Message::Return(value)) => {
                    return serde_json::from_value(value)
                        .map_err(|error| silent(&format!("to `{name}`: {error}")));
                }
                Some(Message::Error { class, desc }) => {
                    return Err(silent(&format!("`{name}` failed: {desc} ({class})")));
                }
                Some(Message::Greeting) => return Err(silent("it greeted twice")),
                Some(event @ Message::Event(_)) => self.note(&event),
                None => return Err(silent("it was closed")),
            }
        }
    }

    fn note(&mut self, message: &Message) {
        if let Message::Event(Event::Shutdown(cause)) = message {
            self.cause = Some(*cause);
        }
    }

    /// The next message; `None` at the end of the stream. May be dropped and called again without loss.
    async fn read(&mut self) -> Result<Option<Message>, VmmError> {
        let room = LONGEST.saturating_sub(self.line.len() as u64);
        (&mut self.reader)
            .take(room)
            .read_until(b'\n', &mut self.line)
            .await
            .map_err(|error| silent(&error.to_string()))?;
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            return Err(silent("a line is cut off or too long"));
        }
        Message::parse(&line)
            .map(Some)
            .map_err(|error| silent(&error.to_string()))
    }
}

async fn in_time<T>(session: impl Future<Output = Result<T, VmmError>>) -> Result<T, VmmError> {
    match tokio::time::timeout(ANSWER, session).await {
        Ok(outcome) => outcome,
        Err(_) => Err(silent(&format!("no answer within {} s", ANSWER.as_secs()))),
    }
}

/// A failure of the session. What QEMU says is made fit for a terminal.
fn silent(message: &str) -> VmmError {
    VmmError::Control {
        message: crate::text::last_lines(message.as_bytes(), 1),
    }
}

#[cfg(test)]
mod tests;
