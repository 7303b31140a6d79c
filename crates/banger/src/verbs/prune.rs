//! `banger vm prune`: deletes the VMs that do not run.

use std::io::IsTerminal;

use api::{Vm, VmState};

use super::delete::say_what_is_lost;
use super::lifecycle::{self, Verb};
use crate::cli::{ProgressArgs, PruneArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;

/// Asks where there is somebody to ask, and deletes them.
///
/// # Errors
/// There is nobody to ask, or the daemon cannot be asked.
pub async fn prune(place: &Place, args: &PruneArgs) -> Result<u8, Failure> {
    if !args.force && !std::io::stdin().is_terminal() {
        return Err(
            Failure::usage("cannot ask whether to delete: stdin is no terminal")
                .with_hint("`banger vm prune -f` deletes without asking; `banger ps -a` shows what there is"),
        );
    }
    let client = place.connect().await?;
    let mut vms = client.vms().await?;
    vms.retain(is_off);
    if vms.is_empty() {
        if !args.quiet {
            render::note("banger: there is nothing to delete: no VM is off");
        }
        return Ok(0);
    }
    if !args.force {
        list(&vms);
        say_what_is_lost(&client, &vms.iter().collect::<Vec<_>>()).await;
        if !confirmed(vms.len())? {
            return Ok(1);
        }
    }
    let targets = vms.into_iter().map(|vm| Ok((vm.id, vm.name))).collect();
    // The daemon looks again: one that was started meanwhile is spared.
    let progress = ProgressArgs {
        quiet: args.quiet,
        timings: false,
    };
    lifecycle::all(&client, Verb::Prune, targets, progress).await
}

/// One that another command holds goes with that command.
fn is_off(vm: &Vm) -> bool {
    matches!(vm.state, VmState::Created | VmState::Stopped | VmState::Error) && !vm.ephemeral
}

fn list(vms: &[Vm]) {
    for vm in vms {
        let disk = render::disk(vm.disk_used, vm.disk_size);
        render::note(&format!("  {}  {}  {disk}", render::one_line(&vm.name), vm.state));
    }
}

fn confirmed(count: usize) -> Result<bool, Failure> {
    let what = match count {
        1 => "this VM and its disk".to_owned(),
        count => format!("these {count} VMs and their disks"),
    };
    super::confirm::confirmed(&format!("Delete {what}?"))
}
