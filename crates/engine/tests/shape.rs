//! Changing a VM's shape, following its logs, and what it uses, over simulated machines.

mod support;

use std::time::Duration;

use api::{ErrorCode, SetVm, VmState};
use engine::{Engine, EngineError, LogKind};
use support::{Host, delete, run, vm};
use testkit::MachineFaults;
use vmm::Backend;

async fn set(engine: &Engine, change: SetVm) -> Result<api::Vm, api::ApiError> {
    let operation = engine
        .vms()
        .set("a", change)
        .await
        .map_err(|error| error.to_api())?;
    Ok(operation.wait().await?.expect("the VM is still there"))
}

fn disk(size: u64) -> SetVm {
    SetVm {
        disk_size: Some(size),
        ..SetVm::default()
    }
}

/// A guest that never says whether its file system has grown keeps a change waiting, and with it the VM's task.
#[tokio::test]
async fn a_change_that_waits_for_its_guest_ends_with_the_machine_and_makes_way_for_a_delete() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    for deletes in [false, true] {
        let id = run(&engine, "a").await.id;
        let folder = host.paths.vm(&id);
        let silent = MachineFaults {
            silent: true,
            ..MachineFaults::default()
        };
        silent.write(&folder).unwrap();
        let change = engine.vms().set("a", disk(512 << 20)).await.unwrap();
        let length = || folder.join("layer.ext4").metadata().unwrap().len();
        while engine.vms().show("a").await.unwrap().disk_size != 512 << 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(length(), 512 << 20);
        let ends = async {
            if !deletes {
                let machine = host.backend.find(&folder).await.unwrap().unwrap();
                machine.kill().await.unwrap();
                assert_eq!(change.wait().await.unwrap().unwrap().disk_size, 512 << 20);
            }
            delete(&engine, "a").await;
        };
        tokio::time::timeout(Duration::from_secs(20), ends)
            .await
            .expect("it does not wait for a minute");
    }
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn processors_and_memory_change_only_while_the_vm_is_off() {
    let host = Host::new();
    let engine = host.engine().await;
    let before = run(&engine, "a").await;
    let more = SetVm {
        vcpu: Some(4),
        memory_mib: Some(512),
        disk_size: None,
    };
    let refused = set(&engine, more).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.hint.as_deref()),
        (ErrorCode::VmState, Some("stop it first: banger vm stop a"))
    );
    let same = SetVm {
        vcpu: Some(before.vcpu),
        ..SetVm::default()
    };
    set(&engine, same).await.expect("what it has may be said again");
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    let changed = set(&engine, more).await.unwrap();
    assert_eq!((changed.vcpu, changed.memory_mib), (4, 512));
    assert_eq!(changed.disk_size, before.disk_size);
    assert_eq!(engine.vms().show("a").await.unwrap().vcpu, 4);
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_disk_grows_whether_the_vm_runs_or_not_and_never_shrinks() {
    let host = Host::new();
    let engine = host.engine().await;
    let id = run(&engine, "a").await.id;
    let length = || host.paths.vm(&id).join("layer.ext4").metadata().unwrap().len();
    assert_eq!(set(&engine, disk(512 << 20)).await.unwrap().disk_size, 512 << 20);
    assert_eq!(length(), 512 << 20);
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    assert_eq!(
        set(&engine, disk((1 << 30) + 5)).await.unwrap().disk_size,
        1 << 30
    );
    assert_eq!(length(), 1 << 30);
    let refused = set(&engine, disk(512 << 20)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    assert_eq!(
        refused.message,
        "disk size `512 MiB`: the disk of `a` has 1 GiB and only grows"
    );
    assert_eq!(length(), 1 << 30);
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_shape_that_no_machine_has_is_refused_before_anything_changes() {
    let host = Host::new();
    let engine = host.engine().await;
    engine
        .vms()
        .create(vm("a", false))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let before = engine.vms().show("a").await.unwrap();
    let bad = [
        SetVm {
            vcpu: Some(0),
            ..disk(1 << 30)
        },
        SetVm {
            memory_mib: Some(1),
            ..disk(1 << 30)
        },
        disk(u64::MAX),
        disk(0),
    ];
    for change in bad {
        assert_eq!(
            set(&engine, change).await.unwrap_err().code,
            ErrorCode::Invalid,
            "{change:?}"
        );
    }
    assert_eq!(engine.vms().show("a").await.unwrap(), before);
    let nobody = engine.vms().set("nobody", disk(1 << 30)).await;
    assert!(matches!(nobody, Err(EngineError::VmNotFound { .. })));
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_followed_log_ends_when_the_vm_is_off_and_not_before() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "a").await;
    let mut follow = engine.vms().follow_logs("a", LogKind::Console).await.unwrap();
    let first = follow.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"booting\n"), "{first:?}");
    let waits = tokio::time::timeout(Duration::from_millis(300), follow.next()).await;
    assert!(waits.is_err(), "it runs: {waits:?}");
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    let mut rest = Vec::new();
    while let Some(piece) = follow.next().await.unwrap() {
        rest.extend(piece);
    }
    assert_eq!(rest, b"reboot: Power down\n");
    let off = engine
        .vms()
        .follow_logs("a", LogKind::Vmm)
        .await
        .unwrap()
        .next()
        .await;
    assert_eq!(off.unwrap(), None, "there is nothing to wait for");
    delete(&engine, "a").await;
}

#[tokio::test]
async fn stats_have_the_guests_word_and_the_hosts() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "a").await;
    let stats = engine.vms().stats("a").await.unwrap();
    assert!(stats.guest.unwrap().memory_total > 0);
    assert!(stats.host.unwrap().memory > 0);
    assert_eq!((stats.state, stats.memory_mib), (VmState::Running, 128));
    assert_eq!(engine.vms().boot("a").await.unwrap().state, "running");
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    let stats = engine.vms().stats("a").await.unwrap();
    assert_eq!((stats.guest, stats.host), (None, None));
    assert_eq!(
        engine.vms().boot("a").await.unwrap_err().to_api().code,
        ErrorCode::VmState
    );
    delete(&engine, "a").await;
}
