//! `banger vm list` and `banger ps`.

use api::{Vm, VmState};
use jiff::Timestamp;

use crate::cli::{ListArgs, ListingArgs, PsArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;
use crate::workspace::{Record, Records};

/// All VMs.
///
/// # Errors
/// The daemon cannot be asked.
pub async fn list(place: &Place, args: &ListArgs) -> Result<u8, Failure> {
    print(&place.connect().await?.vms().await?, &args.listing)
}

/// Those that run, or all of them.
///
/// # Errors
/// The daemon cannot be asked.
pub async fn ps(place: &Place, args: &PsArgs) -> Result<u8, Failure> {
    let mut vms = place.connect().await?.vms().await?;
    vms.retain(|vm| args.all || is_on(vm));
    print(&vms, &args.listing)
}

fn is_on(vm: &Vm) -> bool {
    matches!(vm.state, VmState::Starting | VmState::Running | VmState::Stopping)
}

fn print(vms: &[Vm], args: &ListingArgs) -> Result<u8, Failure> {
    if args.json {
        render::json(&vms)?;
    } else if args.quiet {
        let ids: String = vms
            .iter()
            .map(|vm| format!("{}\n", render::one_line(&vm.id)))
            .collect();
        render::output(&ids)?;
    } else {
        let workspace = |vm: &Vm| Records::of(&vm.id).all().first().map(Record::short);
        render::output(&render::vms(vms, workspace, Timestamp::now()))?;
    }
    Ok(0)
}
