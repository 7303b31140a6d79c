//! `banger df`.

use crate::cli::JsonArgs;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;

/// What lies where on the host's disk.
///
/// # Errors
/// The daemon cannot be asked.
pub async fn df(place: &Place, args: &JsonArgs) -> Result<u8, Failure> {
    let space = place.connect().await?.space().await?;
    if args.json {
        render::json(&space)?;
    } else {
        render::output(&render::space(&space))?;
    }
    Ok(0)
}
