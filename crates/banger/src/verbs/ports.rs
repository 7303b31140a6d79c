//! `banger vm ports`.

use crate::cli::PortsArgs;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;

/// What listens in a VM.
///
/// # Errors
/// The VM does not run, or its agent does not answer.
pub async fn ports(place: &Place, args: &PortsArgs) -> Result<u8, Failure> {
    let found = place.connect().await?.ports(&args.vm.reference).await?;
    if args.output.json {
        render::json(&found.ports)?;
    } else {
        render::output(&render::ports(&found.ports))?;
    }
    if found.more {
        render::warning("more ports than these are listened on");
    }
    Ok(0)
}
