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

/// Those that run, or all of them. That others crashed is a warning.
///
/// # Errors
/// The daemon cannot be asked.
pub async fn ps(place: &Place, args: &PsArgs) -> Result<u8, Failure> {
    let mut vms = place.connect().await?.vms().await?;
    let now = Timestamp::now();
    let crashed: Vec<String> = vms.iter().filter_map(|vm| render::crashed(vm, now)).collect();
    vms.retain(|vm| args.all || is_on(vm));
    let printed = print(&vms, &args.listing)?;
    if !args.all && !args.listing.json && !args.listing.quiet {
        for line in crashed {
            render::warning(&line);
        }
    }
    Ok(printed)
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
