//! From the host to the command: input, resizes, signals, and the host's absence.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use guest::frames::Frame;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::sleep;

use super::terminal;
use crate::descriptor::Descriptor;

/// Input frames that may wait for the command to read. Enough for a resize or a signal to overtake what is typed
/// ahead; more would only take memory.
const WAITING: usize = 2;

/// How often a host that waits for the command to read is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Where input goes.
#[derive(Debug)]
pub(super) enum Stdin<'a> {
    Pipe(Descriptor),
    Terminal(&'a Descriptor),
}

impl Stdin<'_> {
    fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Pipe(pipe) => pipe,
            Self::Terminal(terminal) => terminal,
        }
    }
}

/// What frames that are no input act on.
#[derive(Debug)]
pub(super) struct Controls<'a> {
    /// Leader of the command's first process group.
    pub(super) leader: Pid,
    /// The command's terminal, if it has one.
    pub(super) terminal: Option<&'a Descriptor>,
    /// Whether the command has been waited for: its id may belong to others then.
    pub(super) ended: watch::Receiver<bool>,
}

impl Controls<'_> {
    /// Sends the signal to what runs in the foreground.
    fn signal(&self, signal: Signal) {
        let foreground = self
            .terminal
            .and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok());
        let target = match foreground {
            Some(foreground) => foreground,
            None if !*self.ended.borrow() => self.leader,
            None => return,
        };
        // Nobody may be left to get it.
        let _ = kill_process_group(target, signal);
    }
}

/// Takes the host's frames until it is gone, or does not keep to the protocol.
pub(super) async fn until_gone<R, W>(
    reader: &mut R,
    writer: &Mutex<W>,
    stdin: Option<Stdin<'_>>,
    controls: &Controls<'_>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (frames, waiting) = mpsc::channel(WAITING);
    tokio::select! {
        () = take_frames(reader, writer, frames, controls) => {}
        never = deliver(waiting, stdin) => match never {},
    }
}

async fn take_frames<R, W>(
    reader: &mut R,
    writer: &Mutex<W>,
    stdin: mpsc::Sender<Vec<u8>>,
    controls: &Controls<'_>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while let Ok(Some(frame)) = Frame::read(reader).await {
        match frame {
            Frame::Stdin(bytes) => tokio::select! {
                // An error: the command reads no more. Its input goes nowhere, as with a closed pipe.
                room = stdin.reserve() => if let Ok(room) = room { room.send(bytes) },
                () = gone(writer) => return,
            },
            Frame::Resize(size) => {
                if let Some(terminal) = controls.terminal {
                    // A terminal that has been hung up has no size.
                    let _ = terminal::resize(terminal, size);
                }
            }
            Frame::Signal(number) => match Signal::from_named_raw(number.into()) {
                Some(signal) => controls.signal(signal),
                None => return,
            },
            // These are ours to send.
            Frame::Stdout(_) | Frame::Stderr(_) | Frame::Exit(_) => return,
        }
    }
}

/// Ends when the host is gone. Needed only while nothing is read from it, which would tell: then its going shows in
/// writing, of which nothing is enough.
async fn gone(writer: &Mutex<impl AsyncWrite + Unpin>) {
    loop {
        sleep(LOOK).await;
        if writer.lock().await.write(&[]).await.is_err() {
            return;
        }
    }
}

/// Gives the command its input at the pace at which it reads.
async fn deliver(mut frames: mpsc::Receiver<Vec<u8>>, stdin: Option<Stdin<'_>>) -> Infallible {
    if let Some(stdin) = stdin {
        let mut last = None;
        while let Some(bytes) = frames.recv().await {
            if bytes.is_empty() {
                if let Stdin::Terminal(terminal) = stdin {
                    // Fails on a terminal that has been hung up, which is an end of file too.
                    let _ = terminal.write_all(&terminal::end_of_file(terminal, last)).await;
                }
                break;
            }
            if stdin.descriptor().write_all(&bytes).await.is_err() {
                break;
            }
            last = bytes.last().copied();
        }
        // Closes a pipe: the command's end-of-file.
    }
    drop(frames);
    pending().await
}
