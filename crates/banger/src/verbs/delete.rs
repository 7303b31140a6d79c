//! `banger vm delete`: asks first where work would be lost, and somebody can be asked.

use std::io::IsTerminal;

use api::Vm;
use api::client::Client;
use futures::StreamExt;
use jiff::Timestamp;

use super::lifecycle::{self, AT_ONCE, Verb};
use super::workspace::{Found, look};
use crate::cli::{DeleteArgs, ProgressArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;

/// Deletes VMs.
///
/// # Errors
/// The daemon cannot be asked. What fails for a VM only shows in the code.
pub async fn delete(place: &Place, args: &DeleteArgs) -> Result<u8, Failure> {
    let progress = ProgressArgs {
        quiet: args.quiet,
        timings: false,
    };
    let client = place.connect().await?;
    let vms = client.vms().await?;
    let targets = lifecycle::targets(&args.vms.references, &vms);
    if !args.force && std::io::stdin().is_terminal() {
        let meant = targets.iter().flatten();
        let meant: Vec<&Vm> = meant
            .filter_map(|(id, _)| vms.iter().find(|vm| vm.id == *id))
            .collect();
        if say_what_is_lost(&client, &meant).await {
            let what = match meant.len() {
                1 => "this VM and its disk".to_owned(),
                count => format!("{count} VMs and their disks"),
            };
            if !super::confirm::confirmed(&format!("Delete {what}?"))? {
                return Ok(1);
            }
        }
    }
    lifecycle::all(&client, Verb::Delete, targets, progress).await
}

/// Says what work is in these VMs only. Whether there is any, or may be.
pub(super) async fn say_what_is_lost(client: &Client, vms: &[&Vm]) -> bool {
    let looks = vms.iter().map(|vm| async { (&vm.name, look(client, vm).await) });
    let looked: Vec<(&String, Vec<Found>)> = futures::stream::iter(looks).buffered(AT_ONCE).collect().await;
    let now = Timestamp::now();
    let mut any = false;
    for (name, found) in looked {
        for line in found.iter().flat_map(|found| found.lines(name, now)) {
            render::note(&line);
            any = true;
        }
    }
    any
}
