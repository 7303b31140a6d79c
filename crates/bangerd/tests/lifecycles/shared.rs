//! VMs that all clients meddle with at once, under a few names and a few ports.

use api::client::{Action, ClientError};
use api::{CreateVm, KillSignal, SetVm};
use testkit::Dice;

use crate::host::Host;
use crate::told::{assert_explained, begin_and_watch, carry_out, run_command};

/// How many names there are, and how many ports.
const NAMES: usize = 4;
/// How many things are done after each creation.
const ACTS: usize = 5;

/// Makes a VM, if its name is free, and does things to whichever VMs there are.
pub async fn live(host: &Host, mut dice: Dice) {
    let name = |dice: &mut Dice| format!("any-{}", dice.below(NAMES));
    let create = CreateVm {
        name: Some(name(&mut dice)),
        start: !dice.once_in(3),
        publish: dice
            .once_in(3)
            .then(|| host.shared_port(dice.below(NAMES) as u64))
            .into_iter()
            .collect(),
        ..CreateVm::default()
    };
    carry(host, &mut dice, Action::Create(Box::new(create))).await;
    for _ in 0..ACTS {
        let vm = name(&mut dice);
        let signals = [KillSignal::Kill, KillSignal::Term, KillSignal::Int];
        let action = match dice.below(10) {
            0 => Action::Start(vm),
            1 => Action::Stop(vm),
            2 => Action::Restart(vm),
            3 => Action::Kill(vm, *dice.one_of(&signals)),
            4 | 5 => Action::Delete(vm),
            6 => Action::DeleteIdle(vm),
            7 => Action::Set(
                vm,
                SetVm {
                    memory_mib: Some(128 + dice.below(64) as u64),
                    ..SetVm::default()
                },
            ),
            8 => {
                run_command(host, &vm, "word").await;
                continue;
            }
            _ => {
                cancel_something(host, &mut dice).await;
                continue;
            }
        };
        carry(host, &mut dice, action).await;
    }
}

/// Has it done with patience, without, or without looking.
async fn carry(host: &Host, dice: &mut Dice, action: Action) {
    let client = host.client().await;
    match dice.below(6) {
        0 => {
            let after = dice.millis(0..40);
            let _ = tokio::time::timeout(after, carry_out(host, &client, &action)).await;
            host.tally.count("clients that left in the middle");
        }
        1 => match client.begin(&action).await {
            Ok(_) => host.tally.count("operations that nobody watched"),
            Err(ClientError::Api(error)) => assert_explained(&error),
            Err(error) => host.assert_gone(&error),
        },
        2 => drop(begin_and_watch(host, &client, &action).await),
        _ => drop(carry_out(host, &client, &action).await),
    }
}

async fn cancel_something(host: &Host, dice: &mut Dice) {
    let client = host.client().await;
    let Ok(operations) = client.operations().await else {
        return;
    };
    let shared = operations.iter().filter(|operation| operation.ended_at.is_none());
    // Those of VMs that one client alone works with are that client's to cancel.
    let Ok(vms) = client.vms().await else { return };
    let ours = |vm: &Option<String>| {
        vm.as_ref()
            .is_some_and(|id| vms.iter().any(|vm| vm.id == *id && vm.name.starts_with("any-")))
    };
    let ids: Vec<&str> = shared
        .filter(|operation| ours(&operation.vm))
        .map(|operation| operation.id.as_str())
        .collect();
    if !ids.is_empty() && client.cancel(ids[dice.below(ids.len())]).await.is_ok() {
        host.tally.count("operations cancelled");
    }
}
