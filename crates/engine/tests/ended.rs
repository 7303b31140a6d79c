//! What guests do with their machines by themselves: power off, halt, reboot, fail, and say one thing and do another.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::time::{Duration, Instant};

use api::{ErrorCode, Event, Vm, VmState};
use engine::{Engine, Timeouts};
use guest::Shutdown;
use support::{Host, becomes, delete, run};
use testkit::{GuestEnd, Leaks, MachineFaults, Then};

/// A host with these timeouts, its engine, and what is there before its first VM.
async fn begin(set: impl FnOnce(&mut Timeouts)) -> (Host, Engine, Leaks) {
    let mut host = Host::new();
    set(&mut host.timeouts);
    let engine = host.engine().await;
    let leaks = host.leaks();
    (host, engine, leaks)
}

/// A guest that does this when it has run for a moment.
fn does(end: GuestEnd) -> MachineFaults {
    MachineFaults {
        ends: Some(end),
        ..MachineFaults::default()
    }
}

fn says(word: Shutdown, then: Then) -> GuestEnd {
    GuestEnd {
        after_ms: 100,
        word: Some(word),
        ..GuestEnd::at_once(then)
    }
}

fn prints(line: &str, then: Then) -> GuestEnd {
    GuestEnd {
        after_ms: 100,
        prints: Some(line.to_owned()),
        ..GuestEnd::at_once(then)
    }
}

/// Waits until the VM runs in another boot.
async fn next_boot(engine: &Engine, before: &Vm) -> Vm {
    let booted = async {
        loop {
            let vm = engine.vms().show(&before.id).await.unwrap();
            if vm.state == VmState::Running && vm.boot_id != before.boot_id {
                return vm;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), booted)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_guest_that_ends_its_machine_is_stopped_with_what_it_meant() {
    let (host, engine, leaks) = begin(|_| {}).await;
    for (end, reason) in [
        (says(Shutdown::PowerOff, Then::Reset), "the guest powered off"),
        (says(Shutdown::Halt, Then::Reset), "the guest halted"),
        (says(Shutdown::Halt, Then::PowerOff), "the guest halted"),
        (
            prints("[    9.000001] reboot: Power down", Then::Reset),
            "the guest powered off",
        ),
        (
            prints(
                "[    9.0] reboot: Power down\n[    9.5] reboot: Restarting system",
                Then::Reset,
            ),
            "the guest powered off",
        ),
        // The word did not arrive.
        (
            prints(
                "[    9.0] banger: power off\n[    9.1] reboot: Restarting system",
                Then::Reset,
            ),
            "the guest powered off",
        ),
        (
            prints(
                "[    9.0] banger: halt\n[    9.1] reboot: Restarting system",
                Then::Reset,
            ),
            "the guest powered off or halted",
        ),
        (
            prints("[    9.0] Kernel panic - not syncing: no init", Then::Reset),
            "the guest's kernel panicked: no init",
        ),
        (
            prints("no word of an end", Then::Reset),
            "the guest reset its machine without a shutdown: a crash of its kernel, or a forced reset",
        ),
    ] {
        host.backend.fault_next(does(end.clone()));
        run(&engine, "a").await;
        let stopped = becomes(&engine, "a", VmState::Stopped).await;
        assert_eq!(stopped.reason.as_deref(), Some(reason), "{end:?}");
        assert_eq!((stopped.pid, stopped.boot_id), (None, None));
        let meant = reason.ends_with("off") || reason.ends_with("halted");
        assert_eq!(stopped.crashed_at.is_none(), meant, "{end:?}");
        // It does not come back by itself.
        assert_eq!(engine.vms().running(), 0);
        delete(&engine, "a").await;
    }
    assert_eq!(host.backend.starts().len(), 9);
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_guest_that_halts_past_its_init_is_stopped_and_its_vmm_ended() {
    let (host, engine, leaks) = begin(|_| {}).await;
    for (line, reason) in [
        (
            "[    9.0] reboot: System halted",
            "the guest powered off or halted",
        ),
        ("[    9.0] reboot: Power down", "the guest powered off"),
        (
            "box login: [    9.0] reboot: System halted",
            "the guest powered off or halted",
        ),
        (
            "[    9.0] Kernel panic - not syncing: oops\n[    9.1] ---[ end Kernel panic - not syncing: oops ]---",
            "the guest's kernel panicked: oops",
        ),
    ] {
        host.backend.fault_next(does(prints(line, Then::Halt)));
        let pid = run(&engine, "a").await.pid.unwrap();
        let stopped = becomes(&engine, "a", VmState::Stopped).await;
        assert_eq!(stopped.reason.as_deref(), Some(reason));
        assert!(process::Identity::of(pid).is_err(), "the VMM runs");
        delete(&engine, "a").await;
    }
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_guest_that_prints_that_it_has_halted_or_failed_and_answers_runs_on() {
    let (host, engine, _) = begin(|_| {}).await;
    for line in [
        "[    9.0] reboot: System halted",
        "Kernel panic - not syncing: x\n---[ end Kernel panic - not syncing: x ]---",
    ] {
        host.backend.fault_next(does(prints(line, Then::LiveOn)));
        let before = run(&engine, "a").await;
        // Long enough for each look that is taken.
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            let exec = guest::Exec {
                argv: vec!["true".into()],
                ..guest::Exec::default()
            };
            engine.vms().exec("a", &exec).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let after = engine.vms().show("a").await.unwrap();
        assert_eq!((after.state, after.pid), (VmState::Running, before.pid), "{line}");
        delete(&engine, "a").await;
    }
}

#[tokio::test]
async fn a_guest_that_reboots_is_the_same_vm_in_another_boot() {
    let (host, engine, leaks) = begin(|_| {}).await;
    for (end, why) in [
        (says(Shutdown::Reboot, Then::Reset), "in order"),
        (
            prints("[    9.0] reboot: Restarting system", Then::Reset),
            "forced",
        ),
    ] {
        host.backend.fault_next(does(end));
        let before = run(&engine, "a").await;
        let after = next_boot(&engine, &before).await;
        assert_eq!((&after.id, &after.name), (&before.id, &before.name));
        assert_ne!(after.pid, before.pid);
        assert_eq!((after.reason, before.rebooted), (None, None));
        let rebooted = after.rebooted.unwrap();
        assert_eq!((rebooted.times, rebooted.reason.as_str()), (1, why));
        assert!(rebooted.at >= before.started_at.unwrap() && rebooted.at <= after.started_at.unwrap());
        let reboots = engine.operations().list();
        let reboot = reboots
            .iter()
            .rfind(|operation| operation.kind == "reboot")
            .unwrap();
        assert_eq!(reboot.vm.as_deref(), Some(after.id.as_str()));
        let stopped = engine.vms().stop("a").await.unwrap().wait().await.unwrap();
        assert_eq!(stopped.unwrap().state, VmState::Stopped);
        let started = engine.vms().start("a").await.unwrap().wait().await.unwrap();
        assert_eq!(started.unwrap().rebooted, None, "whoever starts it knows");
        delete(&engine, "a").await;
    }
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_reboot_loop_ends_after_ten_boots() {
    let (host, engine, leaks) = begin(|timeouts| timeouts.reboot = Duration::from_millis(1)).await;
    host.backend.fault_all(does(GuestEnd {
        after_ms: 0,
        ..says(Shutdown::Reboot, Then::Reset)
    }));
    run(&engine, "a").await;
    let stopped = becomes(&engine, "a", VmState::Stopped).await;
    assert_eq!(
        stopped.reason.as_deref(),
        Some(
            "the guest rebooted 10 times in a row, each time within 10 s of its start, or said so and ran on"
        )
    );
    assert_eq!(host.backend.starts().len(), 11);
    assert_eq!(stopped.rebooted.unwrap().times, 10);
    assert!(stopped.crashed_at.is_some());
    // Whoever starts it gives it another chance.
    host.backend.fault_all(MachineFaults::default());
    let started = engine.vms().start("a").await.unwrap().wait().await.unwrap();
    assert_eq!(started.unwrap().state, VmState::Running);
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_reboot_that_waits_makes_way_for_a_stop_a_kill_and_a_delete() {
    let (host, engine, leaks) = begin(|timeouts| timeouts.reboot = Duration::from_secs(600)).await;
    for verb in ["stop", "kill", "delete"] {
        host.backend.fault_next(does(says(Shutdown::Reboot, Then::Reset)));
        run(&engine, "a").await;
        becomes(&engine, "a", VmState::Starting).await;
        let vms = engine.vms();
        let operation = match verb {
            "stop" => vms.stop("a").await,
            "kill" => vms.kill("a", api::KillSignal::Kill).await,
            _ => vms.delete("a").await,
        };
        let done = operation.unwrap();
        let done = tokio::time::timeout(Duration::from_secs(30), done.wait());
        done.await.unwrap().unwrap();
        if verb != "delete" {
            assert_eq!(vms.show("a").await.unwrap().state, VmState::Stopped, "{verb}");
            delete(&engine, "a").await;
        }
    }
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_reboot_that_fails_leaves_the_vm_with_the_reason() {
    let (host, engine, leaks) = begin(|_| {}).await;
    host.backend.fault_next(does(says(Shutdown::Reboot, Then::Reset)));
    host.backend.fault_next(MachineFaults {
        dies_at_start: Some("no such machine type".to_owned()),
        ..MachineFaults::default()
    });
    run(&engine, "a").await;
    let failed = becomes(&engine, "a", VmState::Error).await;
    assert!(failed.reason.unwrap().contains("no such machine type"));
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_guest_that_says_that_it_ends_and_lives_on_is_ended() {
    let (host, engine, leaks) = begin(|timeouts| timeouts.last_word = Duration::from_millis(300)).await;
    for (word, reason) in [
        (Shutdown::PowerOff, "the guest powered off"),
        (Shutdown::Halt, "the guest halted"),
    ] {
        host.backend.fault_next(does(says(word, Then::LiveOn)));
        run(&engine, "a").await;
        let stopped = becomes(&engine, "a", VmState::Stopped).await;
        assert_eq!(stopped.reason.as_deref(), Some(reason));
        delete(&engine, "a").await;
    }
    host.backend
        .fault_next(does(says(Shutdown::Reboot, Then::LiveOn)));
    let before = run(&engine, "a").await;
    next_boot(&engine, &before).await;
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
}

/// What a stop says beside its result.
async fn stop(engine: &Engine, name: &str) -> (Vec<String>, Vec<String>) {
    let operation = engine.vms().stop(name).await.unwrap();
    let (mut warnings, mut timings) = (Vec::new(), Vec::new());
    let mut events = operation.events();
    while let Some(event) = events.next().await {
        match event {
            Event::Warning { message } => warnings.push(message),
            Event::Timing { name, .. } => timings.push(name),
            Event::Failed { error } => panic!("{error:?}"),
            _ => {}
        }
    }
    (warnings, timings)
}

#[tokio::test]
async fn a_stop_is_clean_with_and_without_a_power_button() {
    let (host, engine, _) = begin(|_| {}).await;
    for no_power_button in [false, true] {
        host.backend.fault_next(MachineFaults {
            no_power_button,
            ..MachineFaults::default()
        });
        run(&engine, "a").await;
        let (warnings, timings) = stop(&engine, "a").await;
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(timings, ["stop.guest", "stop.network"]);
        let stopped = engine.vms().show("a").await.unwrap();
        assert_eq!((stopped.state, stopped.reason), (VmState::Stopped, None));
        delete(&engine, "a").await;
    }
}

#[tokio::test]
async fn a_stop_warns_of_lost_writes_only_where_the_guest_has_not_said_that_all_is_written() {
    let (host, engine, _) = begin(|timeouts| {
        timeouts.shutdown = Duration::from_millis(300);
        timeouts.power_off = Duration::from_millis(300);
    })
    .await;
    let mute = MachineFaults {
        ignores_power: true,
        ..MachineFaults::default()
    };
    host.backend.fault_next(mute.clone());
    run(&engine, "a").await;
    let (warnings, timings) = stop(&engine, "a").await;
    assert_eq!(
        warnings,
        ["the guest did not answer and was killed; what it had not synced is lost"]
    );
    assert_eq!(timings, ["stop.guest", "stop.sync", "stop.kill", "stop.network"]);
    delete(&engine, "a").await;

    host.backend.fault_next(MachineFaults {
        ends: Some(says(Shutdown::PowerOff, Then::LiveOn)),
        ..mute
    });
    run(&engine, "a").await;
    let (warnings, _) = stop(&engine, "a").await;
    assert_eq!(warnings, Vec::<String>::new());
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_stop_during_which_the_guest_fails_says_so_and_warns() {
    let (host, engine, _) = begin(|timeouts| timeouts.shutdown = Duration::from_secs(600)).await;
    let panic = "[    9.0] Kernel panic - not syncing: oops\n[    9.1] ---[ end Kernel panic - not syncing: oops ]---";
    let panicked = "the guest's kernel panicked: oops";
    let reset = "the guest reset its machine without a shutdown: a crash of its kernel, or a forced reset";
    for (end, reason) in [
        (GuestEnd::at_once(Then::Reset), reset),
        (prints(panic, Then::Reset), panicked),
        (prints(panic, Then::Halt), panicked),
    ] {
        host.backend.fault_next(MachineFaults {
            ignores_power: true,
            ends: Some(GuestEnd {
                after_ms: 1500,
                ..end
            }),
            ..MachineFaults::default()
        });
        run(&engine, "a").await;
        let (warnings, _) = stop(&engine, "a").await;
        let warning = format!("it ended before it had shut down ({reason}); what it had not synced is lost");
        assert_eq!(warnings, [warning]);
        let stopped = engine.vms().show("a").await.unwrap();
        assert_eq!(
            (stopped.state, stopped.reason.as_deref()),
            (VmState::Stopped, Some(reason))
        );
        delete(&engine, "a").await;
    }
}

#[tokio::test]
async fn a_stop_of_a_guest_that_halts_is_over_when_it_has() {
    let (host, engine, _) = begin(|timeouts| timeouts.shutdown = Duration::from_secs(600)).await;
    host.backend.fault_next(MachineFaults {
        ignores_power: true,
        ends: Some(GuestEnd {
            after_ms: 1500,
            ..prints("[    9.0] reboot: System halted", Then::Halt)
        }),
        ..MachineFaults::default()
    });
    run(&engine, "a").await;
    let (warnings, _) = tokio::time::timeout(Duration::from_secs(30), stop(&engine, "a"))
        .await
        .unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_kernel_panic_during_boot_is_reported_as_one() {
    let (host, engine, _) = begin(|_| {}).await;
    host.backend.fault_next(MachineFaults {
        panics_while_booting: true,
        ..MachineFaults::default()
    });
    let error = engine
        .vms()
        .create(support::vm("a", true))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::VmmFailed);
    assert!(
        error
            .message
            .contains("the guest's kernel panicked: no working init found"),
        "{error:?}"
    );
}
