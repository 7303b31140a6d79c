//! A command in a guest, from its start to its exit code.

use std::io::IsTerminal;
use std::time::Duration;

use api::client::{Client, ClientError};
use api::{ErrorCode, VmState};
use guest::frames::{Exit, FrameError};

use super::operation::ending;
use crate::failure::Failure;
use crate::render;
use crate::terminal::{Attachment, Ending, Signals, attach, exit_code, window_size};

/// What a shell exits with when there is no such command.
const NOT_FOUND: u8 = 127;

/// What a shell exits with when a command cannot be executed.
const NOT_EXECUTABLE: u8 = 126;

/// How long the daemon may take to learn that a machine has ended whose streams have.
const NEWS: Duration = Duration::from_secs(5);

/// Time between two questions about it.
const REST: Duration = Duration::from_millis(50);

/// What the command is given of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Stdout and stderr.
    Output,
    /// Stdin too.
    Piped,
    /// The terminal.
    Terminal,
}

impl Streams {
    /// By `-i` and `-t`. Without a terminal on stdin there is none to give.
    pub fn of(interactive: bool, tty: bool) -> Self {
        if tty && std::io::stdin().is_terminal() {
            return Self::Terminal;
        }
        if tty {
            render::warning("-t gives the command no terminal: stdin is none");
        }
        if interactive { Self::Piped } else { Self::Output }
    }
}

/// The user's terminal, for a shell.
///
/// # Errors
/// Stdin is none.
pub fn terminal_for_shell(instead: &str) -> Result<Streams, Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(Streams::Terminal);
    }
    Err(Failure::usage("cannot open a shell: stdin is no terminal").with_hint(instead))
}

/// Runs `exec` in a VM, joined to the user's streams, until it ends.
///
/// # Errors
/// The command did not start, was lost, or the user has left it.
pub async fn run(
    client: &Client,
    vm: &str,
    mut exec: guest::Exec,
    streams: Streams,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    if streams == Streams::Terminal {
        exec.tty = Some(window_size());
        exec.term = std::env::var("TERM").ok();
    }
    exec.stdin = streams != Streams::Output;
    let stream = tokio::select! {
        stream = client.exec(vm, &exec) => stream.map_err(not_started)?,
        signal = ending(signals) => return Err(Failure::quiet(exit_code(signal))),
    };
    let attachment = Attachment {
        tty: streams == Streams::Terminal,
        stdin: exec.stdin,
    };
    match attach(stream, attachment, signals).await? {
        Ending::Exit(exit) => Ok(exit),
        Ending::Signalled(signal) => Err(Failure::quiet(exit_code(signal))),
        Ending::Output(error) => Err(Failure::output(&error)),
        Ending::Lost(cause) => Err(lost(client, vm, cause).await),
    }
}

fn not_started(error: ClientError) -> Failure {
    let code = error.api().map(|error| error.code);
    let failure = Failure::from(error);
    match code {
        Some(ErrorCode::CommandNotFound) => failure.with_code(NOT_FOUND),
        Some(ErrorCode::CommandNotExecutable) => failure.with_code(NOT_EXECUTABLE),
        _ => failure,
    }
}

/// Finds out why a command's stream ended before the command did.
async fn lost(client: &Client, vm: &str, cause: Option<FrameError>) -> Failure {
    let failed = |why: &str| Failure::new(format!("the command is lost: {why}"));
    let cause = match cause {
        Some(FrameError::Io(_)) | None => "its stream ended".to_owned(),
        Some(error) => error.to_string(),
    };
    let asked = tokio::time::timeout(NEWS, async {
        loop {
            match client.vm(vm).await {
                Ok(vm) if vm.state == VmState::Running => tokio::time::sleep(REST).await,
                other => return other,
            }
        }
    });
    match asked.await {
        Ok(Ok(vm)) => {
            let became = match vm.state {
                VmState::Stopping => "is being stopped",
                VmState::Error => "has failed",
                _ => "has stopped",
            };
            let reason = vm.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            failed(&format!("`{}` {became}{reason}", vm.name))
        }
        Ok(Err(ClientError::Api(error))) if error.code == ErrorCode::VmNotFound => {
            failed("the VM was deleted")
        }
        Ok(Err(ClientError::Unreachable { .. } | ClientError::Broke(_))) => {
            failed("the daemon has ended").with_hint("VMs outlive it: the next command starts it again")
        }
        Ok(Err(_)) | Err(_) => failed(&cause),
    }
}
