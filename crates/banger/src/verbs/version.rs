//! `banger version`.

use api::Version;
use serde::Serialize;

use crate::cli::JsonArgs;
use crate::daemon::{Place, VERSION};
use crate::failure::Failure;
use crate::render;

/// `banger version --json`.
#[derive(Serialize)]
struct Versions {
    version: &'static str,
    /// None if no daemon runs.
    daemon: Option<Version>,
}

/// The versions of this program and of the daemon, if one runs.
///
/// # Errors
/// Somebody listens at the daemon's socket and gives no sensible answer.
pub async fn version(place: &Place, args: &JsonArgs) -> Result<u8, Failure> {
    let daemon = place.running().await?.map(|(_, version)| version);
    if args.json {
        render::json(&Versions {
            version: VERSION,
            daemon,
        })?;
        return Ok(0);
    }
    let daemon = match daemon {
        Some(daemon) => {
            let (version, socket) = (
                render::one_line(&daemon.version),
                render::one_line(&daemon.socket),
            );
            format!("bangerd {version} at {socket}, pid {}", daemon.pid)
        }
        None => "bangerd is not running".into(),
    };
    render::output(&format!("banger {VERSION}\n{daemon}\n"))?;
    Ok(0)
}
