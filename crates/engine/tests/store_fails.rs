//! A store that fails at each write in turn, once or from then on, under everything that is done with VMs: no process
//! and no VM is lost, each VM can be addressed, each operation ends, and once there is room again all is as recorded.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::time::Duration;

use api::{ErrorCode, KillSignal, PullImage, RegistryAccess, SetVm, Vm, VmState};
use engine::{Engine, EngineError, OperationHandle};
use futures::future::BoxFuture;
use store::Store;
use support::writes::Fails;
use support::{Host, becomes, daemon, run, vm};

/// How long anything may take to end, and to be put in order.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is done, and what there is before.
struct Scenario {
    name: &'static str,
    /// A VM `a` that is there before: whether it runs.
    before: Option<bool>,
    act: fn(&Engine) -> BoxFuture<'_, Outcome>,
    /// Whether `a` is there after it, if it succeeds and if it fails; nothing where either may be.
    stays: (bool, Option<bool>),
    /// Whether the whole of it is another daemon's beginning.
    restart: bool,
}

/// Whether it succeeded.
type Outcome = bool;

async fn ended(begun: Result<OperationHandle, EngineError>) -> Outcome {
    match begun {
        Ok(operation) => tokio::time::timeout(PATIENCE, operation.wait())
            .await
            .expect("an operation ends")
            .is_ok(),
        Err(_) => false,
    }
}

fn scenario(
    name: &'static str,
    before: Option<bool>,
    act: fn(&Engine) -> BoxFuture<'_, Outcome>,
) -> Scenario {
    Scenario {
        name,
        before,
        act,
        stays: (true, Some(before.is_some())),
        restart: false,
    }
}

fn scenarios() -> Vec<Scenario> {
    let nothing: fn(&Engine) -> BoxFuture<'_, Outcome> = |_| Box::pin(async { true });
    vec![
        scenario("create", None, |engine| {
            Box::pin(async { ended(engine.vms().create(vm("a", false)).await).await })
        }),
        scenario("create and start", None, |engine| {
            Box::pin(async { ended(engine.vms().create(vm("a", true)).await).await })
        }),
        scenario("start", Some(false), |engine| {
            Box::pin(async { ended(engine.vms().start("a").await).await })
        }),
        scenario("stop", Some(true), |engine| {
            Box::pin(async { ended(engine.vms().stop("a").await).await })
        }),
        scenario("restart", Some(true), |engine| {
            Box::pin(async { ended(engine.vms().restart("a").await).await })
        }),
        scenario("kill", Some(true), |engine| {
            Box::pin(async { ended(engine.vms().kill("a", KillSignal::Kill).await).await })
        }),
        scenario("set", Some(false), |engine| {
            let change = SetVm {
                memory_mib: Some(256),
                ..SetVm::default()
            };
            Box::pin(async move { ended(engine.vms().set("a", change).await).await })
        }),
        Scenario {
            // One that failed was asked for all the same: it may come to its end later.
            stays: (false, None),
            ..scenario("delete", Some(true), |engine| {
                Box::pin(async { ended(engine.vms().delete("a").await).await })
            })
        },
        Scenario {
            // One that failed was asked for all the same: it may come to its end later.
            stays: (false, None),
            ..scenario("prune", Some(false), |engine| {
                Box::pin(async { ended(engine.vms().delete_idle("a").await).await })
            })
        },
        // The prune is queued behind the start.
        Scenario {
            stays: (true, None),
            ..scenario("a prune that spares", Some(false), |engine| {
                Box::pin(async {
                    let start = engine.vms().start("a").await;
                    let prune = engine.vms().delete_idle("a").await;
                    let is_started = ended(start).await;
                    ended(prune).await;
                    is_started
                })
            })
        },
        scenario("a machine that dies", Some(true), |engine| {
            Box::pin(async {
                let pid = engine.vms().show("a").await.unwrap().pid.unwrap();
                let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                tokio::time::sleep(Duration::from_millis(300)).await;
                true
            })
        }),
        Scenario {
            stays: (false, Some(false)),
            ..scenario("import", None, |engine| {
                Box::pin(async {
                    let request = PullImage {
                        reference: "debian".into(),
                        name: None,
                        kernel: None,
                        registry: RegistryAccess::default(),
                    };
                    ended(engine.images().pull(request).await).await
                })
            })
        },
        Scenario {
            restart: true,
            ..scenario("a daemon that finds a machine", Some(true), nothing)
        },
        Scenario {
            restart: true,
            ..scenario("a daemon that finds none", Some(false), nothing)
        },
    ]
}

/// Each VM is what is recorded of it, and whatever is not is put in order soon; `count`: how many there are then.
async fn is_in_order(engine: &Engine, counts: &[usize]) -> Vec<Vm> {
    let check = async {
        loop {
            let vms = engine.vms().list().await.unwrap();
            let is_ordered = vms.iter().all(|vm| match vm.state {
                VmState::Running => vm.pid.is_some(),
                VmState::Created | VmState::Stopped | VmState::Error => vm.pid.is_none(),
                VmState::Starting | VmState::Stopping => false,
            });
            if is_ordered && engine.has_no_work() && counts.contains(&vms.len()) {
                return vms;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(vms) => vms,
        Err(_) => panic!(
            "not in order: {:#?}, {:#?}",
            engine.vms().list().await.unwrap(),
            engine.operations().list()
        ),
    }
}

/// No VM that is listed is unknown to a verb.
async fn can_be_addressed(engine: &Engine) {
    for vm in engine.vms().list().await.unwrap() {
        if let Err(error) = engine.vms().set(&vm.name, SetVm::default()).await {
            assert_ne!(error.to_api().code, ErrorCode::VmNotFound, "{}", vm.name);
        }
    }
}

fn try_at(scenario: &Scenario, fails: Option<Fails>) -> usize {
    let name = scenario.name;
    let host = Host::new();
    daemon(&host, async |_| ());
    let leaks = host.leaks();
    let before = scenario.before.map(|runs| {
        daemon(&host, async |engine| {
            run(engine, "a").await;
            if !runs {
                assert!(ended(engine.vms().stop("a").await).await);
            }
            engine.vms().show("a").await.unwrap().id
        })
    });
    if scenario.restart {
        host.writes.fail(fails);
    }
    let (succeeded, tried) = daemon(&host, async |engine| {
        if !scenario.restart {
            host.writes.fail(fails);
        }
        let succeeded = (scenario.act)(engine).await;
        can_be_addressed(engine).await;
        (succeeded, host.writes.tried().len())
    });
    // While the disk is still full, perhaps, another daemon; then there is room.
    daemon(&host, async |engine| {
        can_be_addressed(engine).await;
        host.writes.fail(None);
        let stays = if succeeded {
            Some(scenario.stays.0)
        } else {
            scenario.stays.1
        };
        let counts: &[usize] = match stays {
            Some(stays) => &[usize::from(stays)],
            None => &[0, 1],
        };
        let vms = is_in_order(engine, counts).await;
        if let (Some(before), Some(vm)) = (&before, vms.first()) {
            assert_eq!(*before, vm.id, "{name} {fails:?}");
        }
        // It can be used, unless its delete has come to its end meanwhile.
        if !vms.is_empty() {
            let is_used = ended(engine.vms().start("a").await).await;
            assert!(is_used || counts.contains(&0), "{name} {fails:?}");
            if is_used {
                becomes(engine, "a", VmState::Running).await;
                assert!(ended(engine.vms().delete("a").await).await, "{name} {fails:?}");
            }
            is_in_order(engine, &[0]).await;
        }
        leaks.assert_none_since().await;
    });
    // And all operations have ended, as far as anybody can say.
    daemon(&host, async |_| ());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let unfinished = runtime.block_on(async {
        let store = Store::open(host.paths.database()).await.unwrap();
        store.operations().unfinished().await.unwrap()
    });
    assert!(unfinished.is_empty(), "{name} {fails:?}: {unfinished:#?}");
    tried
}

fn at_every_write(names: &[&str]) {
    for scenario in scenarios()
        .iter()
        .filter(|scenario| names.contains(&scenario.name))
    {
        let writes = try_at(scenario, None);
        for which in 0..writes {
            try_at(scenario, Some(Fails::Once(which)));
            try_at(scenario, Some(Fails::From(which)));
        }
    }
}

#[test]
fn a_create_whose_record_fails_is_whole_or_gone() {
    at_every_write(&["create", "create and start", "import"]);
}

#[test]
fn a_start_whose_record_fails_leaves_no_machine_behind() {
    at_every_write(&["start", "restart"]);
}

#[test]
fn an_end_whose_record_fails_is_recorded_later() {
    at_every_write(&["stop", "kill", "a machine that dies"]);
}

#[test]
fn a_change_or_a_delete_whose_record_fails_loses_no_vm_that_was_not_meant() {
    at_every_write(&["set", "delete", "prune", "a prune that spares"]);
}

#[test]
fn a_daemon_that_cannot_write_at_its_beginning_has_all_vms() {
    at_every_write(&["a daemon that finds a machine", "a daemon that finds none"]);
}
