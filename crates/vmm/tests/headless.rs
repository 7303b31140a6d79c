//! A VMM whose main thread has ended, alone, while the others go on: to the system it has not ended.

mod common;
mod fake;

use std::fs;

use common::{Lab, in_time, qemu_at, until};
use vmm::Backend;

fn has_lost_its_main_thread(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

const TOLD: &str = "QEMU was ended after the end of its main thread";

#[tokio::test]
async fn a_vmm_that_lost_its_main_thread_is_ended_and_told() {
    let lab = Lab::new();
    let machine = qemu_at(fake::headless(&lab, "stop"))
        .start(&lab.spec(b"never read"))
        .await
        .unwrap();
    let pid = machine.pid();
    // It has no answer to this.
    let pause = machine.pause();
    let told = in_time(async { tokio::join!(machine.wait(), pause).0 }).await;
    assert_eq!(told.reason, TOLD);
    assert!(process::Identity::of(pid).is_err());
    in_time(machine.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn one_that_lost_it_while_no_daemon_was_there_is_found_and_ended_too() {
    let lab = Lab::new();
    let machine = qemu_at(fake::headless(&lab, "stop"))
        .start(&lab.spec(b"never read"))
        .await
        .unwrap();
    let pid = machine.pid();
    let mut pause = Box::pin(machine.pause());
    let lost = until(|| has_lost_its_main_thread(pid).then_some(()));
    tokio::select! {
        biased;
        () = lost => {}
        answer = &mut pause => panic!("it answers: {answer:?}"),
    }
    drop(pause);
    drop(machine);

    let found = in_time(vmm::find(&lab.folder)).await.unwrap().unwrap();
    assert_eq!(found.pid(), pid);
    assert_eq!(in_time(found.wait()).await.reason, TOLD);
    in_time(found.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
    assert!(in_time(vmm::find(&lab.folder)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_vmm_that_loses_it_at_start_is_ended_and_the_start_fails() {
    let lab = Lab::new();
    let path = fake::headless(&lab, "qmp_capabilities");
    let error = in_time(qemu_at(path).start(&lab.spec(b"never read")))
        .await
        .unwrap_err();
    assert!(matches!(error, vmm::VmmError::DiedAtStart { .. }), "{error}");
    assert_eq!(lab.left(), Vec::<String>::new());
}
