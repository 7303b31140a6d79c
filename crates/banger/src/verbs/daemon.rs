//! `banger daemon`.

use api::Version;
use serde::Serialize;

use crate::cli::{DaemonCommand, JsonArgs};
use crate::daemon::{Place, Stopped};
use crate::failure::Failure;
use crate::render;

/// Carries out a verb.
///
/// # Errors
/// The daemon does not start, does not end, or does not answer.
pub async fn daemon(place: &Place, command: DaemonCommand) -> Result<u8, Failure> {
    match command {
        DaemonCommand::Start => {
            let (_, version) = place.connect_unchecked().await?;
            render::output(&format!("{}\n", describe(&version)))?;
            Ok(0)
        }
        DaemonCommand::Stop => {
            render::note(match place.stop().await? {
                Stopped::Now => "bangerd has ended; VMs go on",
                Stopped::Before => NOT_RUNNING,
            });
            Ok(0)
        }
        DaemonCommand::Status(args) => status(place, &args).await,
        DaemonCommand::Socket => {
            render::output(&format!("{}\n", place.socket()?.display()))?;
            Ok(0)
        }
    }
}

const NOT_RUNNING: &str = "bangerd is not running";

/// The daemon in one line.
pub fn describe(daemon: &Version) -> String {
    let (version, socket) = (
        render::one_line(&daemon.version),
        render::one_line(&daemon.socket),
    );
    format!("bangerd {version} at {socket}, pid {}", daemon.pid)
}

/// A line about a daemon that may not be there.
pub fn describe_or_not(daemon: Option<&Version>) -> String {
    daemon.map_or_else(|| NOT_RUNNING.to_owned(), describe)
}

/// `banger daemon status --json`.
#[derive(Serialize)]
struct Status {
    running: bool,
    /// None if it is not running, as are the others.
    pid: Option<u32>,
    version: Option<String>,
    /// Where it listens, or would.
    socket: String,
    state: Option<String>,
}

async fn status(place: &Place, args: &JsonArgs) -> Result<u8, Failure> {
    let daemon = place.running().await?.map(|(_, version)| version);
    let code = u8::from(daemon.is_none());
    if args.json {
        let socket = match &daemon {
            Some(daemon) => daemon.socket.clone(),
            None => place.socket()?.display().to_string(),
        };
        render::json(&Status {
            running: daemon.is_some(),
            pid: daemon.as_ref().map(|daemon| daemon.pid),
            socket,
            version: daemon.as_ref().map(|daemon| daemon.version.clone()),
            state: daemon.map(|daemon| daemon.state),
        })?;
    } else {
        render::output(&format!("{}\n", describe_or_not(daemon.as_ref())))?;
    }
    Ok(code)
}
