//! What listeners are told, over simulated machines.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use api::{Happening, OperationState, VmState};
use engine::{Engine, Listener};
use support::{Host, delete, run, vm};
use testkit::{Action, MachineFaults};

/// Lines up to the end of the next operation, in short.
async fn told(listener: &mut Listener) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let notice = listener.next().await.unwrap();
        told.push(match &notice.what {
            Happening::Vm {
                name, state, reason, ..
            } => {
                format!("{name} {state}{}", reason.as_ref().map_or("", |_| " because"))
            }
            Happening::VmDeleted { name, .. } => format!("{name} deleted"),
            Happening::Operation { operation } if operation.state == OperationState::Running => {
                assert!(operation.ended_at.is_none());
                format!("{} begins", operation.kind)
            }
            Happening::Operation { operation } => {
                assert!(operation.ended_at.is_some());
                let failed = operation.error.is_some();
                assert_eq!(failed, operation.state == OperationState::Failed);
                told.push(format!("{} {:?}", operation.kind, operation.state));
                return told;
            }
            other => format!("{other:?}"),
        });
    }
}

async fn listening(engine: &Engine) -> Listener {
    let mut listener = engine.listen();
    assert_eq!(listener.next().await.unwrap().what, Happening::Listening);
    listener
}

#[tokio::test]
async fn a_listener_is_told_every_state_and_every_operation_in_order() {
    let host = Host::new();
    let engine = host.engine().await;
    let mut listener = listening(&engine).await;
    run(&engine, "a").await;
    assert_eq!(
        told(&mut listener).await,
        [
            "create begins",
            "a created",
            "a starting",
            "a running",
            "create Succeeded"
        ]
    );
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    assert_eq!(
        told(&mut listener).await,
        ["stop begins", "a stopping", "a stopped", "stop Succeeded"]
    );
    delete(&engine, "a").await;
    assert_eq!(
        told(&mut listener).await,
        ["delete begins", "a deleted", "delete Succeeded"]
    );
}

#[tokio::test]
async fn what_fails_and_what_dies_by_itself_is_told_with_the_reason() {
    let host = Host::new();
    let engine = host.engine().await;
    let mut listener = listening(&engine).await;
    host.points.arm("create.image", Action::Fail);
    let operation = engine.vms().create(vm("a", true)).await.unwrap();
    operation.wait().await.unwrap_err();
    assert_eq!(
        told(&mut listener).await,
        ["create begins", "a created", "a deleted", "create Failed"]
    );
    host.backend.fault_next(MachineFaults {
        dies_after_ms: Some(300),
        ..MachineFaults::default()
    });
    run(&engine, "b").await;
    told(&mut listener).await;
    let notice = listener.next().await.unwrap();
    let Happening::Vm {
        name, state, reason, ..
    } = &notice.what
    else {
        panic!("{notice:?}");
    };
    assert_eq!((name.as_str(), *state), ("b", VmState::Stopped));
    assert!(reason.is_some());
    delete(&engine, "b").await;
}
