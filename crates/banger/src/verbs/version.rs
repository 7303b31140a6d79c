//! `banger version`.

use api::Version;
use serde::Serialize;

use super::daemon::describe_or_not;
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
    let daemon = describe_or_not(daemon.as_ref());
    render::output(&format!("banger {VERSION}\n{daemon}\n"))?;
    Ok(0)
}
