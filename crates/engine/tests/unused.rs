//! VMs that nobody uses, over simulated machines.

mod support;

use std::time::Duration;

use api::VmState;
use guest::Exec;
use support::{Host, becomes, delete, run};

#[tokio::test]
async fn an_unused_vm_is_shut_down_and_says_why_and_a_used_one_is_not() {
    let mut host = Host::new();
    host.timeouts.unused = Some(Duration::from_secs(2));
    let engine = host.engine().await;
    run(&engine, "used").await;
    let shell = Exec {
        argv: ["sleep", "1000"].map(str::to_owned).to_vec(),
        ..Exec::default()
    };
    let open = engine.vms().exec("used", &shell).await.unwrap();
    // Made later: whoever counts wrongly ends the other one first.
    run(&engine, "unused").await;

    let stopped = becomes(&engine, "unused", VmState::Stopped).await;
    assert_eq!(
        stopped.reason.as_deref(),
        Some("shut down after 2 s without use (auto_stop_stale_after)")
    );
    let stops = engine.operations().list();
    assert!(
        stops.iter().any(|operation| operation.kind == "stop"),
        "{stops:?}"
    );
    assert_eq!(engine.vms().show("used").await.unwrap().state, VmState::Running);

    drop(open);
    becomes(&engine, "used", VmState::Stopped).await;
    // It starts as any other, and the reason is gone.
    let started = engine
        .vms()
        .start("used")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((started.state, started.reason), (VmState::Running, None));
    for name in ["used", "unused"] {
        delete(&engine, name).await;
    }
}
