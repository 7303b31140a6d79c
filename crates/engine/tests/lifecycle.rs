//! The life of a VM, over simulated machines.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::time::Duration;

use api::{Event, StageState, VmState};
use guest::Exec;
use guest::frames::{Exit, Frame};
use support::{Host, becomes, delete, run, vm};
use testkit::MachineFaults;

async fn output_of(engine: &engine::Engine, name: &str, script: &str) -> (String, Exit) {
    let exec = Exec {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..Exec::default()
    };
    let mut stream = engine.vms().exec(name, &exec).await.unwrap();
    let mut output = Vec::new();
    loop {
        match Frame::read(&mut stream)
            .await
            .unwrap()
            .expect("an exit comes before the end")
        {
            Frame::Stdout(bytes) => output.extend(bytes),
            Frame::Exit(exit) => return (String::from_utf8(output).unwrap(), exit),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_vm_is_created_started_used_stopped_and_deleted() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let created = engine
        .vms()
        .create(vm("a", false))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((created.state, created.pid), (VmState::Created, None));
    let started = engine
        .vms()
        .start("a")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(started.state, VmState::Running);
    assert!(started.pid.is_some() && started.boot_id.is_some() && started.started_at.is_some());
    assert_eq!(
        output_of(&engine, "a", "echo hi; exit 3").await,
        ("hi\n".to_owned(), Exit::Code(3))
    );
    let stopped = engine
        .vms()
        .stop("a")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (stopped.state, stopped.reason, stopped.pid),
        (VmState::Stopped, None, None)
    );
    engine.vms().start("a").await.unwrap().wait().await.unwrap();
    delete(&engine, "a").await;
    assert!(engine.vms().list().await.unwrap().is_empty());
    assert!(engine.is_idle());
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn starting_twice_and_stopping_twice_is_fine() {
    let host = Host::new();
    let engine = host.engine().await;
    let first = run(&engine, "a").await;
    let again = engine
        .vms()
        .start("a")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again.pid, first.pid);
    for _ in 0..2 {
        engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    }
    delete(&engine, "a").await;
}

#[tokio::test]
async fn stages_come_as_they_happen_and_a_late_reader_sees_them_all() {
    let host = Host::new();
    let engine = host.engine().await;
    let operation = engine.vms().create(vm("a", true)).await.unwrap();
    operation.wait().await.unwrap();
    let mut events = operation.events();
    let mut stages = Vec::new();
    let mut ended = false;
    while let Some(event) = events.next().await {
        match event {
            Event::Stage {
                name,
                state: StageState::Done,
                ..
            } => stages.push(name),
            Event::Succeeded { vm } => ended = vm.is_some(),
            _ => {}
        }
    }
    assert_eq!(stages, ["kernel", "image", "start"]);
    assert!(ended);
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_second_vm_makes_no_artefact_again() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "a").await;
    run(&engine, "b").await;
    assert_eq!((host.sources.kernels_made(), host.sources.images_made()), (1, 1));
    for name in ["a", "b"] {
        delete(&engine, name).await;
    }
}

#[tokio::test]
async fn two_first_uses_of_one_image_build_it_once() {
    let host = Host::new();
    host.sources.be_slow();
    let engine = host.engine().await;
    let operations =
        futures::future::join_all(["a", "b", "c"].map(|name| engine.vms().create(vm(name, false)))).await;
    for operation in operations {
        operation.unwrap().wait().await.unwrap();
    }
    assert_eq!((host.sources.kernels_made(), host.sources.images_made()), (1, 1));
}

#[tokio::test]
async fn a_cancelled_first_user_leaves_the_image_to_the_second() {
    let host = Host::new();
    host.sources.be_slow();
    let engine = host.engine().await;
    let first = engine.vms().create(vm("a", false)).await.unwrap();
    let second = engine.vms().create(vm("b", false)).await.unwrap();
    first.cancel();
    assert_eq!(first.wait().await.unwrap_err().code, api::ErrorCode::Cancelled);
    second.wait().await.unwrap();
    assert_eq!(engine.vms().list().await.unwrap().len(), 1);
    assert_eq!(host.sources.images_made(), 1);
}

#[tokio::test]
async fn two_creates_of_one_name_make_one_vm() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let outcomes = futures::future::join_all((0..8).map(|_| engine.vms().create(vm("a", false)))).await;
    let mut made = 0;
    for outcome in outcomes {
        match outcome {
            Ok(operation) => {
                operation.wait().await.unwrap();
                made += 1;
            }
            Err(error) => assert_eq!(error.to_string(), "a VM called `a` exists"),
        }
    }
    assert_eq!((made, engine.vms().list().await.unwrap().len()), (1, 1));
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn names_that_nobody_gave_do_not_collide() {
    let host = Host::new();
    let engine = host.engine().await;
    for _ in 0..20 {
        let request = api::CreateVm::default();
        engine.vms().create(request).await.unwrap().wait().await.unwrap();
    }
    assert_eq!(engine.vms().list().await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_delete_does_not_wait_for_a_start_to_end() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    host.backend.fault_all(MachineFaults {
        never_boots: true,
        ..MachineFaults::default()
    });
    engine
        .vms()
        .create(vm("a", false))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let start = engine.vms().start("a").await.unwrap();
    becomes(&engine, "a", VmState::Starting).await;
    delete(&engine, "a").await;
    assert_eq!(start.wait().await.unwrap_err().code, api::ErrorCode::Cancelled);
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_guest_that_ignores_power_off_is_killed_and_the_user_is_told() {
    let mut host = Host::new();
    host.timeouts.shutdown = Duration::from_millis(50);
    host.timeouts.power_off = Duration::from_millis(50);
    host.backend.fault_all(MachineFaults {
        ignores_power: true,
        ..MachineFaults::default()
    });
    let engine = host.engine().await;
    let leaks = host.leaks();
    run(&engine, "a").await;
    let stop = engine.vms().stop("a").await.unwrap();
    assert_eq!(stop.wait().await.unwrap().unwrap().state, VmState::Stopped);
    let mut events = stop.events();
    let mut warned = false;
    while let Some(event) = events.next().await {
        warned |= matches!(&event, Event::Warning { message } if message.contains("was killed"));
    }
    assert!(warned);
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn many_vms_come_and_go_at_once() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let names: Vec<String> = (0..20).map(|number| format!("vm-{number}")).collect();
    futures::future::join_all(names.iter().map(|name| run(&engine, name))).await;
    assert_eq!(engine.vms().running(), 20);
    futures::future::join_all(names.iter().map(|name| delete(&engine, name))).await;
    assert!(engine.vms().list().await.unwrap().is_empty());
    leaks.assert_none_since().await;
}
