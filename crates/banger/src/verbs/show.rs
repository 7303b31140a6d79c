//! `banger vm show`.

use jiff::Timestamp;

use crate::cli::ShowArgs;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;

/// Everything about a VM.
///
/// # Errors
/// No VM is called that.
pub async fn show(place: &Place, args: &ShowArgs) -> Result<u8, Failure> {
    let vm = place.connect().await?.vm(&args.vm.reference).await?;
    if args.output.json {
        render::json(&vm)?;
    } else {
        render::output(&render::show(&vm, Timestamp::now()))?;
    }
    Ok(0)
}
