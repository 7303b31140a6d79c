//! What the tables keep and refuse.

mod common;

use common::{Fresh, at, operation, vm};
use model::{BootWay, ImageKind, NetworkMode, OperationState, Reboots, VmState};
use proptest::prelude::*;
use store::{Change, ImageRow, KernelRow, OperationRow, Pending, Store, StoreError, Transition, VmUpdate};

#[tokio::test]
async fn a_vm_comes_back_as_it_was_written() {
    let fresh = Fresh::new().await;
    let mut row = vm("1", "a");
    row.boot_id = Some("boot".to_owned());
    row.process = Some("{}".to_owned());
    row.pending = Some(Pending::Create);
    row.started_at = Some(at(1_700_000_000_123));
    fresh.store.vms().insert(row.clone()).await.unwrap();
    assert_eq!(fresh.store.vms().get("1").await.unwrap(), Some(row));
    assert_eq!(fresh.store.vms().get("2").await.unwrap(), None);
}

#[tokio::test]
async fn a_second_vm_of_one_name_is_refused_by_that_name() {
    let fresh = Fresh::new().await;
    fresh.store.vms().insert(vm("1", "a")).await.unwrap();
    let error = fresh.store.vms().insert(vm("2", "a")).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::NameTaken { name } if name == "a"),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "the name `a` is taken");
    let error = fresh.store.vms().insert(vm("1", "b")).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Statement { .. }),
        "an id that comes twice is no taken name: {error:?}"
    );
    assert_eq!(fresh.store.vms().list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_creates_at_once_of_one_name_exactly_one_wins() {
    let fresh = Fresh::new().await;
    let tries: Vec<_> = (0..20)
        .map(|n| {
            let vms = fresh.store.vms();
            tokio::spawn(async move { vms.insert(vm(&n.to_string(), "same")).await })
        })
        .collect();
    let mut won = 0;
    for one in tries {
        match one.await.unwrap() {
            Ok(()) => won += 1,
            Err(StoreError::NameTaken { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn vms_are_listed_by_creation() {
    let fresh = Fresh::new().await;
    for (id, name, created) in [("3", "a", 5), ("1", "b", 9), ("2", "c", 5)] {
        let mut row = vm(id, name);
        row.created_at = at(created);
        fresh.store.vms().insert(row).await.unwrap();
    }
    let names: Vec<_> = fresh
        .store
        .vms()
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.name)
        .collect();
    assert_eq!(names, ["c", "a", "b"]);
}

#[tokio::test]
async fn a_transition_changes_what_it_names_and_keeps_the_rest() {
    let fresh = Fresh::new().await;
    let vms = fresh.store.vms();
    vms.insert(vm("1", "a")).await.unwrap();
    let running = Transition {
        boot_id: Change::Set("boot".to_owned()),
        process: Change::Set("{}".to_owned()),
        started_at: Change::Set(at(42)),
        ..Transition::default()
    };
    let row = vms
        .transition(
            "1",
            &[VmState::Created, VmState::Stopped],
            VmState::Running,
            running,
        )
        .await
        .unwrap();
    assert_eq!(
        (
            row.state,
            row.boot_id.as_deref(),
            row.process.as_deref(),
            row.started_at
        ),
        (VmState::Running, Some("boot"), Some("{}"), Some(at(42)))
    );
    let stopped = Transition {
        reason: Some("the guest powered off".to_owned()),
        boot_id: Change::Clear,
        ..Transition::default()
    };
    let row = vms
        .transition("1", &[VmState::Running], VmState::Stopped, stopped)
        .await
        .unwrap();
    assert_eq!(row.reason.as_deref(), Some("the guest powered off"));
    assert_eq!(
        (row.boot_id.as_deref(), row.process.as_deref(), row.started_at),
        (None, Some("{}"), Some(at(42)))
    );
    let row = vms
        .transition("1", &[VmState::Stopped], VmState::Starting, Transition::default())
        .await
        .unwrap();
    assert_eq!(row.reason, None, "a reason belongs to the state it came with");
    assert_eq!(vms.get("1").await.unwrap(), Some(row));
}

#[tokio::test]
async fn boots_of_the_guests_own_are_counted_until_it_is_started_and_a_crash_is_kept_until_then() {
    let fresh = Fresh::new().await;
    let vms = fresh.store.vms();
    vms.insert(vm("1", "a")).await.unwrap();
    let to = async |change: Transition| {
        vms.transition("1", VmState::ALL, VmState::Running, change)
            .await
            .unwrap()
    };
    let rebooted = |seconds, reason: &str| Transition {
        rebooted: Change::Set((at(seconds), reason.to_owned())),
        ..Transition::default()
    };
    let reboots = |times, seconds, reason: &str| {
        Some(Reboots {
            times,
            at: at(seconds),
            reason: reason.to_owned(),
        })
    };
    assert_eq!(to(Transition::default()).await.reboots, None);
    assert_eq!(to(rebooted(1, "forced")).await.reboots, reboots(1, 1, "forced"));
    assert_eq!(to(rebooted(2, "kexec")).await.reboots, reboots(2, 2, "kexec"));
    let crashed = Transition {
        crashed_at: Change::Set(at(3)),
        ..Transition::default()
    };
    let row = to(crashed).await;
    assert_eq!(
        (row.crashed_at, row.reboots.clone()),
        (Some(at(3)), reboots(2, 2, "kexec"))
    );
    assert_eq!(vms.get("1").await.unwrap(), Some(row));
    let started = Transition {
        rebooted: Change::Clear,
        crashed_at: Change::Clear,
        ..Transition::default()
    };
    let row = to(started).await;
    assert_eq!((row.crashed_at, row.reboots), (None, None));
    assert_eq!(to(rebooted(4, "forced")).await.reboots, reboots(1, 4, "forced"));
}

#[tokio::test]
async fn a_transition_from_another_state_changes_nothing_and_tells_the_state() {
    let fresh = Fresh::new().await;
    let vms = fresh.store.vms();
    vms.insert(vm("1", "a")).await.unwrap();
    let wanted = [VmState::Running, VmState::Stopping];
    let error = vms
        .transition("1", &wanted, VmState::Stopped, Transition::default())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "VM `1` is created, not running or stopping");
    assert_eq!(vms.get("1").await.unwrap(), Some(vm("1", "a")));
    let error = vms
        .transition("1", &[], VmState::Stopped, Transition::default())
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NotInState { .. }));
    let error = vms
        .transition("9", VmState::ALL, VmState::Stopped, Transition::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::NotFound { table: "vms", .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn of_two_starts_at_once_one_moves_the_vm() {
    let fresh = Fresh::new().await;
    fresh.store.vms().insert(vm("1", "a")).await.unwrap();
    let start = || async {
        fresh
            .store
            .vms()
            .transition("1", &[VmState::Created], VmState::Starting, Transition::default())
            .await
    };
    let (one, two) = tokio::join!(start(), start());
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
}

#[tokio::test]
async fn an_update_never_touches_the_state() {
    let fresh = Fresh::new().await;
    let vms = fresh.store.vms();
    vms.insert(vm("1", "a")).await.unwrap();
    let update = VmUpdate {
        image_digest: Some("sha256:aa".to_owned()),
        image_config: Some("{}".to_owned()),
        kernel_version: Some("6.1".to_owned()),
        boot: Some(BootWay::Direct),
        work_seed: Change::Set("aa".to_owned()),
        ..VmUpdate::default()
    };
    let row = vms.update("1", update).await.unwrap();
    let mut expected = vm("1", "a");
    expected.image_digest = "sha256:aa".to_owned();
    expected.image_config = Some("{}".to_owned());
    expected.kernel_version = "6.1".to_owned();
    expected.boot = BootWay::Direct;
    expected.work_seed = Some("aa".to_owned());
    assert_eq!(row, expected);
    let update = VmUpdate {
        work_seed: Change::Clear,
        ..VmUpdate::default()
    };
    expected.work_seed = None;
    assert_eq!(vms.update("1", update).await.unwrap(), expected);
    assert!(matches!(
        vms.update("2", VmUpdate::default()).await,
        Err(StoreError::NotFound { .. })
    ));
}

#[tokio::test]
async fn deleting_twice_is_fine_and_frees_the_name() {
    let fresh = Fresh::new().await;
    let vms = fresh.store.vms();
    vms.insert(vm("1", "a")).await.unwrap();
    assert!(vms.delete("1").await.unwrap());
    assert!(!vms.delete("1").await.unwrap());
    vms.insert(vm("2", "a")).await.unwrap();
}

#[tokio::test]
async fn numbers_that_do_not_fit_are_refused() {
    let fresh = Fresh::new().await;
    let mut row = vm("1", "a");
    row.disk_size = u64::MAX;
    assert!(matches!(
        fresh.store.vms().insert(row).await,
        Err(StoreError::Statement { .. })
    ));
    let mut row = vm("1", "a");
    row.vcpu = 0;
    assert!(matches!(
        fresh.store.vms().insert(row).await,
        Err(StoreError::Statement { .. })
    ));
    assert!(fresh.store.vms().list().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_operation_ends_once() {
    let fresh = Fresh::new().await;
    let operations = fresh.store.operations();
    let begun = OperationRow {
        vm: Some("1".to_owned()),
        ..operation("o", 1)
    };
    operations.insert(begun).await.unwrap();
    assert_eq!(operations.unfinished().await.unwrap().len(), 1);
    let error = Some(r#"{"code":"internal"}"#.to_owned());
    let row = operations
        .finish("o", OperationState::Failed, error, at(7))
        .await
        .unwrap();
    assert_eq!(
        (row.state, row.ended_at, row.vm.as_deref()),
        (OperationState::Failed, Some(at(7)), Some("1"))
    );
    assert!(operations.unfinished().await.unwrap().is_empty());
    let again = operations
        .finish("o", OperationState::Succeeded, None, at(8))
        .await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })));
    assert_eq!(operations.list(1).await.unwrap(), [row]);
}

#[tokio::test]
async fn pruning_keeps_the_newest_and_whatever_runs() {
    let fresh = Fresh::new().await;
    let operations = fresh.store.operations();
    for n in 0..10 {
        operations.insert(operation(&n.to_string(), n)).await.unwrap();
    }
    for n in 1..10 {
        operations
            .finish(&n.to_string(), OperationState::Succeeded, None, at(100))
            .await
            .unwrap();
    }
    assert_eq!(operations.prune(3).await.unwrap(), 6);
    let left: Vec<_> = operations
        .list(100)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(left, ["9", "8", "7", "0"]);
    assert_eq!(operations.list(2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_table_of_operations_stays_bounded() {
    let fresh = Fresh::new().await;
    let operations = fresh.store.operations();
    for n in 0..1_010_i64 {
        let mut row = operation(&n.to_string(), n);
        row.state = OperationState::Succeeded;
        row.ended_at = Some(at(n));
        operations.insert(row).await.unwrap();
    }
    let left = operations.list(5_000).await.unwrap();
    assert_eq!((left.len(), left[0].id.as_str()), (1_000, "1009"));
}

#[tokio::test]
async fn images_and_kernels_come_back_and_replace_nothing() {
    let fresh = Fresh::new().await;
    let image = ImageRow {
        name: "debian-minimal".to_owned(),
        digest: "sha256:aa".to_owned(),
        kernel: "debian-cloud".to_owned(),
        bytes: 1,
        entries: 2,
        source: "{}".to_owned(),
        created_at: at(3),
        kind: ImageKind::Catalog,
        reference: None,
        config: None,
        path: None,
        boot: BootWay::Overlay,
        work_seed: None,
    };
    let images = fresh.store.images();
    images.insert(image.clone()).await.unwrap();
    assert!(matches!(
        images.insert(image.clone()).await,
        Err(StoreError::NameTaken { .. })
    ));
    assert_eq!(images.get("debian-minimal").await.unwrap(), Some(image.clone()));
    assert_eq!(images.list().await.unwrap(), std::slice::from_ref(&image));
    assert!(images.delete("debian-minimal").await.unwrap());
    assert!(!images.delete("debian-minimal").await.unwrap());
    let bad = ImageRow {
        source: "no json".to_owned(),
        ..image
    };
    assert!(matches!(
        images.insert(bad).await,
        Err(StoreError::Statement { .. })
    ));

    let kernel = KernelRow {
        name: "debian-cloud".to_owned(),
        version: "6.1".to_owned(),
        bytes: 1,
        source: "{}".to_owned(),
        created_at: at(3),
    };
    let kernels = fresh.store.kernels();
    kernels.insert(kernel.clone()).await.unwrap();
    assert!(matches!(
        kernels.insert(kernel.clone()).await,
        Err(StoreError::NameTaken { .. })
    ));
    assert_eq!(kernels.get("debian-cloud").await.unwrap(), Some(kernel.clone()));
    assert_eq!(kernels.list().await.unwrap(), [kernel]);
    assert!(kernels.delete("debian-cloud").await.unwrap());
}

#[tokio::test]
async fn an_image_is_found_by_its_reference_and_replaced_by_a_newer_one() {
    let fresh = Fresh::new().await;
    let image = |name: &str, digest: &str, millis: i64| ImageRow {
        name: name.to_owned(),
        digest: digest.to_owned(),
        kernel: "debian-cloud".to_owned(),
        bytes: 1,
        entries: 2,
        source: "{}".to_owned(),
        created_at: at(millis),
        kind: ImageKind::Oci,
        reference: Some("registry.test/web:1".to_owned()),
        config: Some(r#"{"user":"www"}"#.to_owned()),
        path: None,
        boot: BootWay::Overlay,
        work_seed: None,
    };
    let images = fresh.store.images();
    images.replace(image("web", "aa", 1)).await.unwrap();
    images.replace(image("web", "bb", 2)).await.unwrap();
    images.insert(image("same", "cc", 1)).await.unwrap();
    assert_eq!(images.list().await.unwrap().len(), 2);
    let found = images.by_reference("registry.test/web:1").await.unwrap();
    assert_eq!(found, Some(image("web", "bb", 2)));
    assert_eq!(images.by_reference("registry.test/web:2").await.unwrap(), None);
}

#[tokio::test]
async fn many_tasks_at_once_lose_nothing() {
    let fresh = Fresh::new().await;
    let tasks: Vec<_> = (0..50_i64)
        .map(|n| {
            let store = fresh.store.clone();
            tokio::spawn(async move {
                let id = n.to_string();
                store.vms().insert(vm(&id, &format!("vm-{n}"))).await.unwrap();
                store
                    .vms()
                    .transition(&id, &[VmState::Created], VmState::Starting, Transition::default())
                    .await
                    .unwrap();
                store.vms().list().await.unwrap();
                store.operations().insert(operation(&id, n)).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let rows = fresh.store.vms().list().await.unwrap();
    assert_eq!(rows.len(), 50);
    assert!(rows.iter().all(|row| row.state == VmState::Starting));
    assert_eq!(fresh.store.operations().unfinished().await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_job_whose_caller_went_away_is_done_all_the_same() {
    let fresh = Fresh::new().await;
    let vms = fresh.store.vms();
    let mut insert = Box::pin(vms.insert(vm("1", "a")));
    // Polled once, so that the job is queued, then dropped.
    assert!(futures_poll(insert.as_mut()).is_none() || vms.get("1").await.unwrap().is_some());
    drop(insert);
    assert!(vms.get("1").await.unwrap().is_some());
}

/// One poll of a future without waiting.
fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn any_text_and_number_comes_back(
        name in ".{0,40}",
        reason in proptest::option::of(".{0,80}"),
        env in proptest::collection::btree_map("[A-Z_]{1,8}", ".{0,40}", 0..4),
        memory_mib in 1..=u64::MAX >> 1,
        created in 0..=4_000_000_000_000_i64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path().join("banger.db")).await.unwrap();
            let mut row = vm("1", &name);
            (row.reason, row.env, row.memory_mib, row.created_at) = (reason, env, memory_mib, at(created));
            row.network = NetworkMode::None;
            store.vms().insert(row.clone()).await.unwrap();
            assert_eq!(store.vms().list().await.unwrap(), [row]);
        });
    }
}
