//! `banger vm start`, `stop`, `restart`, `kill` and `delete`: one verb on several VMs at once.

use std::collections::HashSet;

use api::client::{Action, Client};
use api::{KillSignal, SetVm, Vm};
use futures::StreamExt;

use super::boot;
use super::file_sync::Synced;
use super::operation::follow;
use super::workspace::note_before_stop;
use crate::cli::{NewShape, ProgressArgs, ReferencesArgs, Wait};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::{self, Progress};
use crate::resolve::resolve;
use crate::terminal::{Signals, exit_code};
use crate::workspace::Records;

/// So many VMs are worked on at a time.
pub const AT_ONCE: usize = 16;

/// What is done to each VM.
#[derive(Clone, Copy, Debug)]
pub enum Verb {
    /// Boots it.
    Start(Wait),
    /// Shuts it down.
    Stop,
    /// Both, one after the other.
    Restart(Wait),
    /// Changes its shape.
    Set(SetVm),
    /// Ends its machine.
    Kill(KillSignal),
    /// Deletes it and its disk.
    Delete,
    /// Deletes it and its disk, if it does not run.
    Prune,
}

/// Does it to all of them at once, and to the valid ones even where others are not. What became of each is said in
/// the order in which they were given.
///
/// # Errors
/// The daemon cannot be asked. What fails for a VM only shows in the code.
pub async fn each(
    place: &Place,
    verb: Verb,
    references: &ReferencesArgs,
    progress: ProgressArgs,
) -> Result<u8, Failure> {
    let client = place.connect().await?;
    let vms = client.vms().await?;
    all(&client, verb, targets(&references.references, &vms), progress).await
}

/// The change that the command line asks for.
///
/// # Errors
/// It asks for none.
pub fn change(shape: &NewShape) -> Result<SetVm, Failure> {
    let change = SetVm {
        vcpu: shape.vcpu.map(|count| count.get()),
        memory_mib: shape.memory.map(|size| size.mib()),
        disk_size: shape.disk_size.map(|size| size.bytes()),
    };
    match change == SetVm::default() {
        true => Err(Failure::usage("`banger vm set` needs something to change")
            .with_hint("give --vcpu, --memory or --disk-size, for example --disk-size 40G")),
        false => Ok(change),
    }
}

/// Id and name of a VM, or why there is none.
pub type Target = Result<(String, String), Failure>;

/// The VMs that are meant, each once, in the order given.
pub fn targets(references: &[String], vms: &[Vm]) -> Vec<Target> {
    let mut seen = HashSet::new();
    references
        .iter()
        .map(|reference| resolve(reference, vms).map(|vm| (vm.id.clone(), vm.name.clone())))
        // A VM that is named twice is meant once.
        .filter(|target| target.as_ref().map_or(true, |(id, _)| seen.insert(id.clone())))
        .collect()
}

/// Does it to all of them at once and prints their names.
///
/// # Errors
/// Nobody reads what is printed.
pub async fn all(
    client: &Client,
    verb: Verb,
    targets: Vec<Target>,
    progress: ProgressArgs,
) -> Result<u8, Failure> {
    let alone = targets.len() == 1;
    let mut outcomes = std::pin::pin!(
        futures::stream::iter(
            targets
                .into_iter()
                .map(|target| one(client, verb, target, alone, progress))
        )
        .buffered(AT_ONCE)
    );
    let mut code = 0;
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(name) => render::output(&format!("{}\n", render::one_line(&name)))?,
            Err(failure) => {
                failure.report();
                // A signal's code says more than that something failed.
                code = code.max(failure.code());
            }
        }
    }
    Ok(code)
}

async fn one(
    client: &Client,
    verb: Verb,
    target: Target,
    alone: bool,
    progress: ProgressArgs,
) -> Result<String, Failure> {
    let (id, name) = target?;
    let synced = match verb {
        Verb::Start(_) | Verb::Restart(_) => Synced::gather()?,
        _ => Synced::default(),
    };
    let action = match verb {
        Verb::Start(_) => Action::Start(id.clone()),
        Verb::Stop => Action::Stop(id.clone()),
        Verb::Restart(_) => Action::Restart(id.clone()),
        Verb::Set(change) => Action::Set(id.clone(), change),
        Verb::Kill(signal) => Action::Kill(id.clone(), signal),
        Verb::Delete => Action::Delete(id.clone()),
        Verb::Prune => Action::DeleteIdle(id.clone()),
    };
    let noted = match verb {
        Verb::Stop => note_before_stop(client, &id).await,
        _ => None,
    };
    let mut progress = match alone {
        true => Progress::of(progress),
        false => Progress::one_of_several(progress, &name),
    };
    let mut signals = match verb {
        Verb::Start(_) => Signals::ending()?,
        // They go on in the daemon when their client leaves: half a stop is nothing anybody wants.
        Verb::Stop | Verb::Restart(_) | Verb::Set(_) | Verb::Kill(_) | Verb::Delete | Verb::Prune => {
            Signals::none()
        }
    };
    let done = follow(client, &action, &mut progress, &mut signals).await?;
    match done.too_late {
        None => {
            if let Verb::Start(wait) | Verb::Restart(wait) = verb {
                boot::finish(client, &id, synced, wait, &mut progress, &mut signals).await?;
            }
            if let Some(since) = noted {
                Records::stopped(&id, since);
            }
            if let Verb::Delete | Verb::Prune = verb {
                Records::forget(&id);
            }
            Ok(name)
        }
        Some(signal) => {
            Err(Failure::new(format!("too late to cancel: `{name}` runs")).with_code(exit_code(signal)))
        }
    }
}
