//! A command that runs: attended until it has ended, or until its host has gone.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use guest::frames::{Exit, Frame};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::process::Child;
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};
use tokio::time::timeout;

use super::cgroup::Group;
use super::input::{self, Controls, Stdin};
use super::output;
use crate::descriptor::Descriptor;

/// What a command gets to end by itself after its host has gone.
const HANGUP: Duration = Duration::from_secs(5);

/// How long the host may take to close its end after the exit frame. Closing ours with input unread could cost it
/// that frame.
const FAREWELL: Duration = Duration::from_secs(2);

/// Our ends of the command's streams.
#[derive(Debug)]
pub(super) enum Ends {
    /// Three pipes; stdin if the host has any.
    Pipes {
        stdin: Option<Descriptor>,
        stdout: Descriptor,
        stderr: Descriptor,
    },
    /// A terminal, and whether the command reads from it.
    Terminal { terminal: Descriptor, stdin: bool },
}

/// A command that was started.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// Leader of the command's session and of its first process group.
    leader: Pid,
    ends: Ends,
    group: Option<Group>,
    slot: OwnedSemaphorePermit,
}

impl Running {
    pub(super) fn new(
        child: Child,
        ends: Ends,
        group: Option<Group>,
        slot: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self {
            child,
            leader: leader.ok_or(io::ErrorKind::NotFound)?,
            ends,
            group,
            slot,
        })
    }

    /// Carries frames between the host and the command until one of them has ended.
    pub(crate) async fn attend<S: AsyncRead + AsyncWrite>(mut self, stream: S) {
        let (mut reader, writer) = tokio::io::split(stream);
        let writer = Mutex::new(writer);
        let (tell_ended, ended) = watch::channel(false);
        let (terminal, stdin, stdout, stderr) = match &mut self.ends {
            Ends::Pipes {
                stdin,
                stdout,
                stderr,
            } => (None, stdin.take().map(Stdin::Pipe), &*stdout, Some(&*stderr)),
            Ends::Terminal { terminal, stdin } => {
                let terminal = &*terminal;
                let stdin = stdin.then_some(Stdin::Terminal(terminal));
                (Some(terminal), stdin, terminal, None)
            }
        };
        let controls = Controls {
            leader: self.leader,
            terminal,
            ended: ended.clone(),
        };
        let end = async {
            let exit = async {
                let status = self.child.wait().await;
                tell_ended.send_replace(true);
                status
            };
            let outputs = output::carry_all(stdout, stderr, &writer, &ended);
            let (status, outputs) = futures::join!(exit, outputs);
            outputs.and(status)
        };
        let status = tokio::select! {
            status = end => status.ok(),
            () = input::until_gone(&mut reader, &writer, stdin, &controls) => None,
        };
        match status {
            Some(status) => self.say_goodbye(reader, writer.into_inner(), exit(status)).await,
            None => {
                drop((reader, writer));
                self.hang_up().await;
            }
        }
    }

    /// Tells how the command ended. What it left running in the background lives on; its group is swept up once it
    /// is empty.
    async fn say_goodbye<S: AsyncRead + AsyncWrite>(
        self,
        mut reader: ReadHalf<S>,
        mut writer: WriteHalf<S>,
        exit: Exit,
    ) {
        let Self {
            child,
            ends,
            group,
            slot,
            ..
        } = self;
        drop((child, ends));
        let farewell = timeout(FAREWELL, async {
            Frame::Exit(exit).write(&mut writer).await?;
            writer.flush().await?;
            writer.shutdown().await?;
            tokio::io::copy(&mut reader, &mut tokio::io::sink()).await
        });
        // A host that has gone by now does not hear it.
        let _ = farewell.await;
        // Only now: nobody waits for it any more.
        drop((group, slot));
    }

    /// Ends the command as a terminal that goes away would; if that is not enough, by force and with all it started.
    pub(crate) async fn hang_up(self) {
        let Self {
            mut child,
            leader,
            ends,
            group,
            slot,
        } = self;
        // Once it has been waited for, its id may belong to others.
        if child.id().is_some() {
            let _ = kill_process_group(leader, Signal::HUP);
            let _ = kill_process_group(leader, Signal::CONT);
        }
        let gone = async {
            let _ = child.wait().await;
            if let Some(group) = &group {
                group.emptied().await;
            }
        };
        if timeout(HANGUP, output::discard_while(ends, gone)).await.is_err() {
            if child.id().is_some() {
                let _ = kill_process_group(leader, Signal::KILL);
            }
            if let Some(group) = &group {
                group.kill();
            }
            let _ = child.wait().await;
        }
        drop((group, slot));
    }
}

fn exit(status: ExitStatus) -> Exit {
    // A process ends with a code of 8 bits or by a signal, of which there are 64.
    let small = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(small(code)),
        (None, signal) => Exit::Signal(small(signal.unwrap_or_default())),
    }
}
