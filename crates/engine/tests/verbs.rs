//! Restart, kill, prune and ping, over simulated machines.

mod support;

use std::time::Duration;

use api::{ErrorCode, KillSignal, VmState};
use support::{Host, delete, run, vm};
use testkit::{Action, MachineFaults};

#[tokio::test]
async fn a_restart_gives_a_new_boot_id() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let before = run(&engine, "a").await;
    let after = engine
        .vms()
        .restart("a")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.state, VmState::Running);
    assert!(after.boot_id.is_some() && after.boot_id != before.boot_id);
    assert_ne!(after.pid, before.pid);
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    let started = engine
        .vms()
        .restart("a")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(started.state, VmState::Running, "a stopped one is just started");
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn each_start_asks_for_the_kind_of_vmm_that_the_vm_had() {
    let host = Host::new();
    let engine = host.engine().await;
    let made = run(&engine, "a").await;
    assert_eq!(made.vmm_reason, format!("it had {} before", made.vmm));
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_restart_whose_start_is_cancelled_leaves_the_vm_stopped() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "a").await;
    let hold = host.points.hold("start.machine");
    let restart = engine.vms().restart("a").await.unwrap();
    hold.reached().await;
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    assert_eq!(restart.wait().await.unwrap_err().code, ErrorCode::Cancelled);
    assert_eq!(engine.vms().show("a").await.unwrap().state, VmState::Stopped);
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_vm_takes_commands_before_it_is_recorded_as_running() {
    let host = Host::new();
    let engine = host.engine().await;
    let hold = host.points.hold("start.record");
    let start = engine.vms().create(vm("a", true)).await.unwrap();
    hold.reached().await;
    assert_eq!(engine.vms().show("a").await.unwrap().state, VmState::Starting);
    let exec = guest::Exec {
        argv: vec!["true".into()],
        ..guest::Exec::default()
    };
    engine.vms().exec("a", &exec).await.unwrap();
    hold.release();
    start.wait().await.unwrap();
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_killed_vm_is_stopped_with_the_reason_and_starts_again() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    for (signal, reason) in [
        (KillSignal::Kill, "ended by SIGKILL, as asked for"),
        (KillSignal::Term, "ended by SIGTERM, as asked for"),
        (KillSignal::Int, "ended by SIGINT, as asked for"),
    ] {
        match engine.vms().show("a").await {
            Ok(_) => drop(engine.vms().start("a").await.unwrap().wait().await.unwrap()),
            Err(_) => drop(run(&engine, "a").await),
        }
        let killed = engine
            .vms()
            .kill("a", signal)
            .await
            .unwrap()
            .wait()
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (killed.state, killed.pid, killed.boot_id),
            (VmState::Stopped, None, None)
        );
        assert_eq!(killed.reason.as_deref(), Some(reason));
    }
    let again = engine
        .vms()
        .kill("a", KillSignal::Kill)
        .await
        .unwrap()
        .wait()
        .await;
    assert!(again.is_ok(), "one that does not run is left as it is: {again:?}");
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_kill_does_not_wait_for_a_shutdown_that_hangs() {
    let mut host = Host::new();
    host.timeouts.shutdown = Duration::from_secs(600);
    let engine = host.engine().await;
    host.backend.fault_next(MachineFaults {
        ignores_power: true,
        ..MachineFaults::default()
    });
    run(&engine, "a").await;
    let stop = engine.vms().stop("a").await.unwrap();
    support::becomes(&engine, "a", VmState::Stopping).await;
    let kill = engine.vms().kill("a", KillSignal::Kill).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), kill.wait())
        .await
        .unwrap()
        .unwrap();
    stop.wait().await.unwrap();
    assert_eq!(engine.vms().show("a").await.unwrap().state, VmState::Stopped);
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_delete_right_behind_a_stop_does_not_wait_for_the_guest() {
    let host = Host::new();
    let engine = host.engine().await;
    for _ in 0..5 {
        host.backend.fault_next(MachineFaults {
            ignores_power: true,
            ..MachineFaults::default()
        });
        run(&engine, "a").await;
        let deleted = async {
            engine.vms().stop("a").await.unwrap();
            delete(&engine, "a").await;
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), deleted).await;
        assert!(in_time.is_ok(), "it was heard before the guest had its minute");
    }
}

#[tokio::test]
async fn a_stop_during_the_first_start_keeps_the_vm() {
    for (point, signal) in [
        ("create.image", None),
        ("start.machine", None),
        ("start.machine", Some(KillSignal::Kill)),
    ] {
        let host = Host::new();
        let engine = host.engine().await;
        let hold = host.points.hold(point);
        let create = engine.vms().create(vm("a", true)).await.unwrap();
        hold.reached().await;
        let stop = match signal {
            None => engine.vms().stop("a").await.unwrap(),
            Some(signal) => engine.vms().kill("a", signal).await.unwrap(),
        };
        hold.release();
        stop.wait().await.unwrap();
        let error = create.wait().await.unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::VmState, "`a` was stopped before it had started")
        );
        let kept = engine.vms().show("a").await.unwrap();
        assert_eq!((kept.state, kept.pid), (VmState::Created, None));
        // For good: no later daemon takes it for one that is being made.
        drop(engine);
        let engine = host.engine().await;
        engine.vms().start("a").await.unwrap().wait().await.unwrap();
        delete(&engine, "a").await;
    }
}

#[tokio::test]
async fn a_panic_ends_its_operation_and_the_vm_can_be_used_on() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    run(&engine, "a").await;
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    for point in ["start.network", "start.machine", "start.record"] {
        host.points.arm(point, Action::Panic);
        let error = engine.vms().start("a").await.unwrap().wait().await.unwrap_err();
        assert_eq!(error.message, format!("a panic: as armed at `{point}`"));
        let started = engine.vms().start("a").await.unwrap().wait().await;
        assert_eq!(started.unwrap().unwrap().state, VmState::Running, "{point}");
        engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    }
    host.points.arm("delete.begin", Action::Panic);
    engine.vms().delete("a").await.unwrap().wait().await.unwrap_err();
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
    assert!(engine.has_no_work());
}

#[tokio::test]
async fn a_prune_spares_what_runs_and_what_is_worked_on() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "running").await;
    engine
        .vms()
        .create(vm("off", false))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let hold = host.points.hold("create.kernel");
    let creating = engine.vms().create(vm("unborn", false)).await.unwrap();
    hold.reached().await;
    let spared = engine.vms().delete_idle("running").await.unwrap_err().to_api();
    assert_eq!(
        (spared.code, spared.message.as_str()),
        (ErrorCode::VmState, "cannot prune `running`: it is running")
    );
    let spared = engine.vms().delete_idle("unborn").await.unwrap_err().to_api();
    assert_eq!(
        spared.message,
        "cannot prune `unborn`: another operation on it is under way"
    );
    hold.release();
    creating.wait().await.unwrap();
    engine
        .vms()
        .delete_idle("off")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let mut left: Vec<_> = engine
        .vms()
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|vm| vm.name)
        .collect();
    left.sort();
    assert_eq!(left, ["running", "unborn"]);
    for name in left {
        delete(&engine, &name).await;
    }
}

#[tokio::test]
async fn a_ping_is_answered_by_the_agent_of_a_vm_that_runs() {
    let host = Host::new();
    let engine = host.engine().await;
    let running = run(&engine, "a").await;
    let pong = engine.vms().ping("a").await.unwrap();
    assert_eq!((Some(pong.boot_id), pong.name.as_str()), (running.boot_id, "a"));
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    let error = engine.vms().ping("a").await.unwrap_err().to_api();
    assert_eq!(
        (error.code, error.hint.as_deref()),
        (ErrorCode::VmState, Some("start it first: banger vm start a"))
    );
    delete(&engine, "a").await;
}

#[tokio::test]
async fn whoever_waits_behind_a_delete_is_told_that_the_vm_is_gone() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    run(&engine, "a").await;
    let vms = engine.vms();
    let hold = host.points.hold("delete.begin");
    let first = vms.delete("a").await.unwrap();
    hold.reached().await;
    let late = [
        vms.start("a").await.unwrap(),
        vms.stop("a").await.unwrap(),
        vms.kill("a", KillSignal::Kill).await.unwrap(),
    ];
    let second = vms.delete("a").await.unwrap();
    hold.release();
    let ends = async {
        first.wait().await.unwrap();
        for late in late {
            let error = late.wait().await.unwrap_err();
            assert_eq!(
                (error.code, error.message.as_str()),
                (ErrorCode::VmNotFound, "no VM is called `a`")
            );
        }
        second.wait().await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(60), ends).await.unwrap();
    assert!(engine.is_idle());
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn the_name_of_a_vm_on_its_way_out_is_taken_until_it_is_free() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    run(&engine, "a").await;
    for _ in 0..20 {
        let delete = engine.vms().delete("a").await.unwrap();
        // Either the old one still has it, or the new one is a whole one.
        let made = loop {
            match engine.vms().create(vm("a", true)).await {
                Ok(operation) => break operation.wait().await.unwrap().unwrap(),
                Err(error) => {
                    let error = error.to_api();
                    assert_eq!(
                        (error.code, error.message.as_str()),
                        (ErrorCode::VmExists, "a VM called `a` exists")
                    );
                    tokio::task::yield_now().await;
                }
            }
        };
        delete.wait().await.unwrap();
        assert_eq!(engine.vms().show("a").await.unwrap().id, made.id);
        assert_eq!(made.state, VmState::Running);
    }
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
}
