//! `GET /v1/events`.

use api::client::{Action, Client, Notices};
use api::{Happening, OperationState, PullImage, RegistryAccess, VmState};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::simulated::Simulated;
use crate::support::Daemon;

async fn next(notices: &mut Notices) -> Happening {
    notices.next().await.unwrap().unwrap().what
}

/// Passes over what happens until an operation has ended.
async fn until_the_end(notices: &mut Notices) -> api::Operation {
    loop {
        if let Happening::Operation { operation } = next(notices).await
            && operation.state != OperationState::Running
        {
            return operation;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_hears_of_what_others_do() {
    let host = Simulated::start().await;
    let mut first = host.client.listen().await.unwrap();
    let mut second = host.client.listen().await.unwrap();
    for notices in [&mut first, &mut second] {
        assert_eq!(next(notices).await, Happening::Listening);
    }
    let made = host.run("a").await;
    drop(first);
    let operation = loop {
        match next(&mut second).await {
            Happening::Vm { id, name, state, .. } => {
                assert_eq!((&id, name.as_str()), (&made.id, "a"));
                if state == VmState::Running {
                    break until_the_end(&mut second).await;
                }
            }
            Happening::Operation { operation } => assert_eq!(operation.kind, "create"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(operation.vm.as_ref(), Some(&made.id));
    assert_eq!(host.client.operation(&operation.id).await.unwrap(), operation);
    host.delete("a").await;
    let (id, name) = (made.id, made.name);
    while next(&mut second).await
        != (Happening::VmDeleted {
            id: id.clone(),
            name: name.clone(),
        })
    {}
}

#[tokio::test]
async fn the_stream_ends_with_the_daemon_and_does_not_hold_its_end_up() {
    let mut daemon = Daemon::start();
    let mut notices = Client::new(&daemon.socket).listen().await.unwrap();
    assert_eq!(next(&mut notices).await, Happening::Listening);
    let pull = PullImage {
        reference: "127.0.0.1:1/none:1".into(),
        name: None,
        kernel: None,
        registry: RegistryAccess {
            plain_http: true,
            ..RegistryAccess::default()
        },
    };
    let client = Client::new(&daemon.socket);
    let begun = client.begin(&Action::Pull(Box::new(pull))).await.unwrap();
    let ended = until_the_end(&mut notices).await;
    assert_eq!((ended.id, ended.state), (begun.id, OperationState::Failed));
    kill(Pid::from_raw(daemon.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(notices.next().await.unwrap(), None);
    assert!(daemon.child.wait().unwrap().success());
}
