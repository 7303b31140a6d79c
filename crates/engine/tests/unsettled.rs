//! What could not be carried through: no machine runs on behind a record that says otherwise, and no later daemon deletes
//! what was not deleted.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::{CreateVm, VmState};
use engine::{Engine, EngineError, OperationHandle};
use support::writes::Fails;
use support::{Host, becomes, daemon, delete, run, vm};
use testkit::Action;

async fn ended(begun: Result<OperationHandle, EngineError>) -> Result<(), api::ApiError> {
    begun.unwrap().wait().await.map(|_| ())
}

async fn is_gone(engine: &Engine) {
    let gone = async {
        while !engine.vms().list().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
}

#[test]
fn a_start_whose_undo_fails_leaves_no_second_machine_on_the_disk() {
    let host = Host::new();
    daemon(&host, async |_| ());
    let leaks = host.leaks();
    daemon(&host, async |engine| {
        ended(engine.vms().create(vm("a", false)).await).await.unwrap();
        let hold = host.points.hold("start.agent");
        let start = engine.vms().start("a").await;
        hold.reached().await;
        host.blind.store(true, Ordering::SeqCst);
        let stop = engine.vms().stop("a").await;
        hold.release();
        ended(start).await.unwrap_err();
        ended(stop).await.unwrap_err();
        // Nothing is started beside it, and nothing says that it is off.
        ended(engine.vms().start("a").await).await.unwrap_err();
        assert_eq!(engine.vms().show("a").await.unwrap().state, VmState::Starting);
        assert!(!engine.is_idle());
        assert_eq!(host.backend.starts().len(), 1);
        host.blind.store(false, Ordering::SeqCst);
        becomes(engine, "a", VmState::Created).await;
        ended(engine.vms().start("a").await).await.unwrap();
        delete(engine, "a").await;
        leaks.assert_none_since().await;
    });
}

#[test]
fn a_vm_whose_delete_failed_is_not_deleted_later() {
    // A panic in it; a machine that cannot be looked for; the same, and a store that fails when the mark is taken away.
    for case in 0..3 {
        let host = Host::new();
        let before = daemon(&host, async |engine| {
            let before = run(engine, "a").await;
            match case {
                0 => host.points.arm("delete.begin", Action::Panic),
                _ => host.points.arm("delete.begin", Action::Fail),
            }
            if case == 2 {
                host.writes.fail(Some(Fails::Once(2)));
            }
            ended(engine.vms().delete("a").await).await.unwrap_err();
            ended(engine.vms().stop("a").await).await.unwrap();
            before
        });
        daemon(&host, async |engine| {
            let kept = becomes(engine, "a", VmState::Stopped).await;
            assert_eq!(kept.id, before.id, "{case}");
            ended(engine.vms().start("a").await).await.unwrap();
            delete(engine, "a").await;
        });
    }
}

#[test]
fn a_delete_that_fails_after_the_machine_is_gone_leaves_a_vm_that_can_be_used() {
    let host = Host::new();
    daemon(&host, async |engine| {
        run(engine, "a").await;
        host.blind.store(true, Ordering::SeqCst);
        ended(engine.vms().delete("a").await).await.unwrap_err();
        host.blind.store(false, Ordering::SeqCst);
        becomes(engine, "a", VmState::Stopped).await;
        ended(engine.vms().start("a").await).await.unwrap();
        delete(engine, "a").await;
    });
}

#[test]
fn a_record_that_cannot_be_understood_keeps_no_vm_from_being_deleted() {
    for machine_lives in [true, false] {
        let host = Host::new();
        daemon(&host, async |_| ());
        let leaks = host.leaks();
        daemon(&host, async |engine| {
            let vm = run(engine, "a").await;
            if !machine_lives {
                ended(engine.vms().stop("a").await).await.unwrap();
            }
            std::fs::write(host.paths.vm(&vm.id).join("process.json"), "{").unwrap();
            delete(engine, "a").await;
            leaks.assert_none_since().await;
        });
    }
}

#[test]
fn a_create_that_panics_leaves_nothing() {
    let host = Host::new();
    daemon(&host, async |_| ());
    let leaks = host.leaks();
    daemon(&host, async |engine| {
        for point in ["create.kernel", "create.layer", "start.agent", "start.record"] {
            host.points.arm(point, Action::Panic);
            ended(engine.vms().create(vm("a", true)).await).await.unwrap_err();
            is_gone(engine).await;
        }
        leaks.assert_none_since().await;
    });
}

#[test]
fn an_ephemeral_vm_that_is_stopped_before_it_has_started_is_nobodys_and_goes() {
    let host = Host::new();
    daemon(&host, async |engine| {
        let hold = host.points.hold("start.machine");
        let request = CreateVm {
            ephemeral: true,
            ..vm("a", true)
        };
        let create = engine.vms().create(request).await;
        hold.reached().await;
        let stop = engine.vms().stop("a").await;
        hold.release();
        ended(create).await.unwrap_err();
        let _ = stop.unwrap().wait().await;
        is_gone(engine).await;
    });
}

/// As the hint about a damaged store says it.
#[test]
fn the_disks_of_vms_that_a_new_store_does_not_know_are_kept() {
    let host = Host::new();
    let vm = daemon(&host, async |engine| {
        let vm = run(engine, "a").await;
        ended(engine.vms().stop("a").await).await.unwrap();
        vm
    });
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", host.paths.database().display()));
    }
    daemon(&host, async |engine| {
        assert!(engine.vms().list().await.unwrap().is_empty());
        assert!(host.paths.vm(&vm.id).join("layer.ext4").exists());
    });
}
