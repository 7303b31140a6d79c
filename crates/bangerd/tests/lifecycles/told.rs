//! What a client is told of what it asked for, by a daemon that may die in the middle.

use api::client::{Action, Client, ClientError, Events};
use api::{ApiError, ErrorCode, Event, Vm};
use guest::Exec;
use guest::frames::{Exit, Frame};

use crate::host::{Host, PATIENCE};

/// How it ended.
#[derive(Debug)]
pub enum Told {
    /// It was done; the VM after it, if there still is one.
    Done(Option<Box<Vm>>),
    /// The daemon says no, or that it failed and was undone.
    Refused(ApiError),
    /// The daemon went away: it may have been done, or not.
    Lost,
}

/// Has an action carried out, and waits for its end.
pub async fn carry_out(host: &Host, client: &Client, action: &Action) -> Told {
    within(host, action, async {
        match client.lease(action).await {
            Ok(events) => follow(events).await,
            Err(error) => Err(error),
        }
    })
    .await
}

/// The same as an operation that is nobody's, watched on a connection of its own.
pub async fn begin_and_watch(host: &Host, client: &Client, action: &Action) -> Told {
    within(host, action, async {
        let operation = client.begin(action).await?;
        match client.operation_events(&operation.id).await {
            Ok(events) => follow(events).await,
            // The next daemon knows nothing of the last one's operations.
            Err(ClientError::Api(error)) if host.mortal && error.code == ErrorCode::OperationNotFound => {
                Ok(Told::Lost)
            }
            Err(error) => Err(error),
        }
    })
    .await
}

/// Waits for the end of an operation.
pub async fn follow(mut events: Events) -> Result<Told, ClientError> {
    while let Some(event) = events.next().await? {
        match event {
            Event::Succeeded { vm } => return Ok(Told::Done(vm)),
            Event::Failed { error } => return Ok(Told::Refused(error)),
            Event::Cancelled => {
                return Ok(Told::Refused(ApiError {
                    code: ErrorCode::Cancelled,
                    message: "cancelled".into(),
                    hint: None,
                    operation: None,
                }));
            }
            _ => {}
        }
    }
    Ok(Told::Lost)
}

async fn within(host: &Host, action: &Action, work: impl Future<Output = Result<Told, ClientError>>) -> Told {
    let told = tokio::time::timeout(PATIENCE, work).await;
    match told.unwrap_or_else(|_| panic!("nobody was told for {PATIENCE:?} how this ended: {action:?}")) {
        Ok(Told::Refused(error)) | Err(ClientError::Api(error)) => {
            assert_explained(&error);
            Told::Refused(error)
        }
        Ok(told) => told,
        Err(error) => {
            host.assert_gone(&error);
            Told::Lost
        }
    }
}

/// A refusal has a cause that the test has made: nothing is the daemon's own fault.
pub fn assert_explained(error: &ApiError) {
    let explained = match error.code {
        ErrorCode::Invalid => error.message.ends_with("only grows"),
        ErrorCode::VmNotFound
        | ErrorCode::VmExists
        | ErrorCode::OperationNotFound
        | ErrorCode::VmState
        | ErrorCode::VmmFailed
        | ErrorCode::AgentSilent
        | ErrorCode::AgentRefused
        | ErrorCode::PortUnavailable
        | ErrorCode::Cancelled => true,
        _ => error.message.contains("injected failure"),
    };
    assert!(explained, "a refusal that nothing explains: {error:?}");
}

/// What came of a command.
#[derive(Debug)]
pub enum Ran {
    /// Its output and end.
    Ended(Vec<u8>, Exit),
    /// The daemon says no.
    Refused(ApiError),
    /// The stream broke: the machine died, or the daemon.
    Broke,
}

/// Runs a command that says `word` and ends with code 3. The host's folder is on its command
/// line, so that it is found where it is left.
pub async fn run_command(host: &Host, vm: &str, word: &str) -> Ran {
    let client = host.client().await;
    let marker = host.root().to_string_lossy();
    let argv = ["sh", "-c", "echo $0; exit 3", word, &marker];
    let exec = Exec {
        argv: argv.map(str::to_owned).to_vec(),
        ..Exec::default()
    };
    let work = async {
        let mut stream = match client.exec(vm, &exec).await {
            Ok(stream) => stream,
            Err(ClientError::Api(error)) => {
                assert_explained(&error);
                return Ran::Refused(error);
            }
            Err(error) => {
                host.assert_gone(&error);
                return Ran::Broke;
            }
        };
        let mut output = Vec::new();
        loop {
            match Frame::read(&mut stream).await {
                Ok(Some(Frame::Stdout(bytes))) => output.extend(bytes),
                Ok(Some(Frame::Exit(exit))) => return Ran::Ended(output, exit),
                Ok(Some(frame)) => panic!("a command that says nothing else: {frame:?}"),
                Ok(None) | Err(_) => return Ran::Broke,
            }
        }
    };
    let ran = tokio::time::timeout(PATIENCE, work).await;
    ran.unwrap_or_else(|_| panic!("a command in `{vm}` neither ended nor broke for {PATIENCE:?}"))
}
