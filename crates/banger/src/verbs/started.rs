//! `--start`: a VM that is off is booted before something is done in it.

use api::VmState;
use api::client::{Action, Client};

use super::boot;
use super::file_sync::Synced;
use super::operation::follow;
use crate::cli::{BootArgs, CpArgs, End, ProgressArgs, Wait};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::{self, Progress};
use crate::terminal::{Signals, exit_code};

/// Boots a VM if that is `wanted` and it is off. Prints nothing on stdout: that is the command's.
///
/// # Errors
/// There is no such VM, it cannot be started, or a signal came; it is off then as before.
pub async fn started(
    client: &Client,
    reference: &str,
    wanted: bool,
    quiet: bool,
    signals: &mut Signals,
) -> Result<(), Failure> {
    if !wanted {
        return Ok(());
    }
    let vm = client.vm(reference).await?;
    // One that is on its way up or down is started after that: the daemon does one thing after the other with a VM, and
    // leaves one that runs by then as it is.
    if vm.state == VmState::Running {
        return Ok(());
    }
    let synced = Synced::gather()?;
    let mut progress = Progress::of(ProgressArgs {
        quiet,
        timings: false,
    });
    let done = follow(client, &Action::Start(vm.id.clone()), &mut progress, signals).await?;
    if let Some(signal) = done.too_late {
        let message = format!("too late to cancel: `{}` runs", render::one_line(&vm.name));
        return Err(Failure::new(message).with_code(exit_code(signal)));
    }
    boot::finish(client, &vm.id, synced, Wait::Ready, &mut progress, signals).await?;
    progress.clear();
    Ok(())
}

/// The failure of a command that needs a running VM, whose hint names the flag that boots one, unless that was given.
pub fn or_start(failure: Failure, boot: BootArgs) -> Failure {
    match failure.hint() {
        Some(hint) if !boot.start && hint.starts_with("start it first: ") => {
            let hint = format!("{hint}, or have this command do it: --start");
            failure.with_hint(hint)
        }
        _ => failure,
    }
}

/// The same for the ends of a copy that lie in VMs.
///
/// # Errors
/// As [`started`].
pub async fn ends(place: &Place, args: &CpArgs) -> Result<(), Failure> {
    if !args.boot.start {
        return Ok(());
    }
    let mut signals = Signals::ending()?;
    let client = place.connect().await?;
    for end in args.sources.iter().chain([&args.target]) {
        if let End::There { vm, .. } = end {
            started(&client, vm, true, args.quiet, &mut signals).await?;
        }
    }
    Ok(())
}
