//! What goes wrong with machines and sources: one clear line, nothing left.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{ErrorCode, VmState};
use engine::Engine;
use support::{Host, SimulatedMachines, becomes, delete, run, vm};
use testkit::{Action, Lie, MachineFaults};

/// Every point that a create with a start passes.
async fn points_of_a_start() -> Vec<String> {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "a").await;
    let points = host.points.hits();
    delete(&engine, "a").await;
    assert!(points.len() >= 6, "{points:?}");
    points
}

async fn fails(engine: &Engine, name: &str) -> api::ApiError {
    match engine.vms().create(vm(name, true)).await {
        Ok(operation) => operation.wait().await.unwrap_err(),
        Err(error) => error.to_api(),
    }
}

/// The VM is deleted again, so the hint leads to no logs of it.
#[track_caller]
fn assert_names_no_logs(error: &api::ApiError) {
    let hint = error.hint.as_deref().unwrap();
    assert!(
        hint.contains("`a` is deleted again") && !hint.contains("vm logs"),
        "{hint}"
    );
}

#[tokio::test]
async fn a_start_that_fails_at_any_step_leaves_nothing() {
    for point in points_of_a_start().await {
        let host = Host::new();
        let engine = host.engine().await;
        let leaks = host.leaks();
        host.points.arm(&point, Action::Fail);
        let error = fails(&engine, "a").await;
        assert!(
            error.message.contains(&format!("injected failure at `{point}`")),
            "{error:?}"
        );
        assert!(engine.vms().list().await.unwrap().is_empty(), "{point}");
        leaks.assert_none_since().await;
        // The name is free again and all works.
        run(&engine, "a").await;
        delete(&engine, "a").await;
        leaks.assert_none_since().await;
    }
}

#[tokio::test]
async fn a_start_that_is_cancelled_at_any_step_leaves_nothing() {
    for point in points_of_a_start().await {
        let host = Host::new();
        let engine = host.engine().await;
        let leaks = host.leaks();
        let hold = host.points.hold(&point);
        let operation = engine.vms().create(vm("a", true)).await.unwrap();
        hold.reached().await;
        operation.cancel();
        assert_eq!(
            operation.wait().await.unwrap_err().code,
            ErrorCode::Cancelled,
            "{point}"
        );
        assert!(engine.vms().list().await.unwrap().is_empty(), "{point}");
        leaks.assert_none_since().await;
    }
}

#[tokio::test]
async fn a_failed_start_of_a_vm_that_exists_keeps_it_with_the_reason() {
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
    host.points.arm("start.machine", Action::Fail);
    let error = engine.vms().start("a").await.unwrap().wait().await.unwrap_err();
    assert!(error.message.starts_with("cannot start `a`: "), "{error:?}");
    let failed = engine.vms().show("a").await.unwrap();
    assert_eq!((failed.state, failed.pid), (VmState::Error, None));
    assert!(failed.reason.unwrap().contains("start.machine"));
    engine.vms().start("a").await.unwrap().wait().await.unwrap();
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_vmm_that_dies_leaves_the_vm_stopped_with_the_reason() {
    let host = Host::new();
    host.backend.fault_next(MachineFaults {
        dies_after_ms: Some(300),
        ..MachineFaults::default()
    });
    let engine = host.engine().await;
    let leaks = host.leaks();
    run(&engine, "a").await;
    let stopped = becomes(&engine, "a", VmState::Stopped).await;
    assert!(stopped.reason.unwrap().contains("died as it was told to"));
    assert_eq!((stopped.pid, engine.vms().running()), (None, 0));
    run(&engine, "b").await;
    for name in ["a", "b"] {
        delete(&engine, name).await;
    }
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_vmm_that_dies_at_start_says_why_and_leaves_nothing() {
    let host = Host::new();
    let dies_at_start = Some("no such machine type".to_owned());
    host.backend.fault_all(MachineFaults {
        dies_at_start,
        ..MachineFaults::default()
    });
    let engine = host.engine().await;
    let leaks = host.leaks();
    let error = fails(&engine, "a").await;
    assert!(
        error.message.contains("ended at start: no such machine type"),
        "{error:?}"
    );
    assert!(!error.message.contains('\n'));
    assert!(engine.vms().list().await.unwrap().is_empty());
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_missing_vmm_is_named_with_what_to_install() {
    let mut host = Host::new();
    host.backend = testkit::SimulatedBackend::with_binary("/proc/nonexistent/vmm");
    let engine = host.engine().await;
    let leaks = host.leaks();
    let error = fails(&engine, "a").await;
    assert_eq!(error.code, ErrorCode::VmmMissing);
    assert!(
        error.message.contains("/proc/nonexistent/vmm was not found") && error.hint.is_some(),
        "{error:?}"
    );
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn a_missing_passt_is_an_error_unless_the_vmms_own_network_is_let_do() {
    let mut host = Host::new();
    host.networks.passt = Some("/nowhere/passt".into());
    let engine = host.engine().await;
    let leaks = host.leaks();
    let request = api::CreateVm {
        network: Some(api::NetworkMode::User),
        ..vm("a", true)
    };
    let error = engine
        .vms()
        .create(request.clone())
        .await
        .unwrap()
        .wait()
        .await
        .unwrap_err();
    assert!(
        error
            .message
            .ends_with("/nowhere/passt was not found, and a VM's network goes through it"),
        "{error:?}"
    );
    let hint = error.hint.unwrap();
    assert!(hint.contains("apt-get install passt") && hint.contains("[network] insecure_builtin = true"));
    assert_eq!(engine.vms().list().await.unwrap(), []);
    leaks.assert_none_since().await;
    drop(engine);

    // One that has none is no better for being let do.
    host.networks.insecure_builtin = true;
    let mut bare = Host::new();
    bare.backend = bare.backend.clone().without_built_in_network();
    bare.networks = host.networks.clone();
    let engine = bare.engine().await;
    let error = engine.vms().create(request.clone()).await.unwrap().wait().await;
    assert!(
        error
            .unwrap_err()
            .message
            .contains("/nowhere/passt was not found")
    );
    drop(engine);

    let engine = host.engine().await;
    let operation = engine.vms().create(request).await.unwrap();
    let mut events = operation.events();
    operation.wait().await.unwrap();
    let mut warnings = Vec::new();
    while let Some(event) = events.next().await {
        if let api::Event::Warning { message } = event {
            warnings.push(message);
        }
    }
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("loopback") && warnings[0].contains("insecure_builtin"),
        "{warnings:?}"
    );
    let shown = engine.vms().show("a").await.unwrap();
    assert!(
        shown.vmm_reason.contains("insecure_builtin"),
        "{}",
        shown.vmm_reason
    );
}

/// A configuration that a test changes while the engine runs.
#[derive(Debug)]
struct Changed {
    backend: testkit::SimulatedBackend,
    text: Mutex<&'static str>,
}

impl engine::Configured for Changed {
    fn read(&self) -> Result<(Arc<dyn engine::Machines>, engine::Networks), engine::EngineError> {
        let shape = config::HostShape {
            cpus: 1,
            memory_mib: 1024,
        };
        let text = *self.text.lock().unwrap();
        let config = config::Config::parse(text, "config.toml".as_ref(), shape)?;
        let networks = engine::Networks {
            passt: Some("/nowhere/passt".into()),
            insecure_builtin: config.network.insecure_builtin,
            ..engine::Networks::default()
        };
        Ok((
            Arc::new(SimulatedMachines(self.backend.clone(), Arc::default())),
            networks,
        ))
    }
}

#[tokio::test]
async fn a_wall_that_is_put_back_stands_at_the_next_start() {
    let mut host = Host::new();
    let changed = Arc::new(Changed {
        backend: host.backend.clone(),
        text: Mutex::new("[network]\ninsecure_builtin = true\n"),
    });
    host.configured = Some(Arc::clone(&changed) as _);
    let engine = host.engine().await;
    let request = api::CreateVm {
        network: Some(api::NetworkMode::User),
        ..vm("a", true)
    };
    engine
        .vms()
        .create(request.clone())
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let later = api::CreateVm {
        name: Some("b".into()),
        start: false,
        ..request
    };
    engine.vms().create(later).await.unwrap().wait().await.unwrap();
    let start = async || engine.vms().start("b").await.unwrap().wait().await;
    for (text, says) in [
        ("", "/nowhere/passt was not found"),
        ("[network\n", "config.toml:1"),
        ("confinement = \"maybe\"\n", "config.toml:1"),
    ] {
        *changed.text.lock().unwrap() = text;
        let error = start().await.unwrap_err();
        assert!(error.message.contains(says), "{text}: {error:?}");
    }
    let error = engine.vms().create(vm("c", true)).await.unwrap_err().to_api();
    assert!(error.message.contains("config.toml:1"), "{error:?}");
    *changed.text.lock().unwrap() = "[network]\ninsecure_builtin = true\n";
    start().await.unwrap();
    for name in ["a", "b"] {
        delete(&engine, name).await;
    }
}

#[tokio::test]
async fn a_silent_agent_ends_the_start() {
    let silent = [
        MachineFaults {
            silent: true,
            ..MachineFaults::default()
        },
        MachineFaults {
            never_boots: true,
            ..MachineFaults::default()
        },
    ];
    let lies = [
        Lie::Garbage,
        Lie::EndlessHeaders,
        Lie::EndlessBody,
        Lie::NotJson,
        Lie::CutOff,
    ]
    .map(|lie| MachineFaults {
        lies: Some(lie),
        ..MachineFaults::default()
    });
    for faults in silent.into_iter().chain(lies) {
        let mut host = Host::new();
        host.timeouts.ready = Duration::from_millis(300);
        host.backend.fault_all(faults.clone());
        let engine = host.engine().await;
        let leaks = host.leaks();
        let error = fails(&engine, "a").await;
        assert_eq!(error.code, ErrorCode::AgentSilent, "{faults:?}: {error:?}");
        assert!(
            error.message.contains("did not answer within") && !error.message.contains('\n'),
            "{error:?}"
        );
        assert!(engine.vms().list().await.unwrap().is_empty());
        assert_names_no_logs(&error);
        leaks.assert_none_since().await;
    }
}

#[tokio::test]
async fn a_vm_that_a_failed_start_leaves_has_the_logs_that_the_hint_names() {
    for faults in [
        MachineFaults {
            silent: true,
            ..MachineFaults::default()
        },
        MachineFaults {
            never_boots: true,
            dies_after_ms: Some(50),
            ..MachineFaults::default()
        },
    ] {
        let mut host = Host::new();
        host.timeouts.ready = Duration::from_millis(if faults.silent { 300 } else { 60_000 });
        host.backend.fault_all(faults);
        let engine = host.engine().await;
        let leaks = host.leaks();
        let made = engine.vms().create(vm("a", false)).await.unwrap();
        made.wait().await.unwrap();
        let error = engine.vms().start("a").await.unwrap().wait().await.unwrap_err();
        assert_eq!(
            error.hint.as_deref(),
            Some("the whole console: banger vm logs a"),
            "{error:?}"
        );
        assert_eq!(engine.vms().show("a").await.unwrap().state, VmState::Error);
        delete(&engine, "a").await;
        // The same failure, of a VM that is made and started at once.
        assert_names_no_logs(&fails(&engine, "a").await);
        leaks.assert_none_since().await;
    }
}

#[tokio::test]
async fn a_missing_image_with_no_mirror_is_one_clear_line() {
    let host = Host::new();
    host.sources.lose_images();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let error = fails(&engine, "a").await;
    assert_eq!(
        error.message,
        "cannot get image `debian`: cannot reach the mirror deb.test: connection refused"
    );
    assert_eq!(error.hint.as_deref(), Some("is the network up?"));
    assert!(engine.vms().list().await.unwrap().is_empty());
    leaks.assert_none_since().await;
    assert_eq!(std::fs::read_dir(host.paths.images()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_missing_kernel_with_no_mirror_is_one_clear_line() {
    let host = Host::new();
    host.sources.lose_kernels();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let error = fails(&engine, "a").await;
    assert_eq!(
        error.message,
        "cannot fetch kernel `cloud`: cannot reach the mirror deb.test: connection refused"
    );
    assert!(engine.vms().list().await.unwrap().is_empty());
    leaks.assert_none_since().await;
    assert_eq!(std::fs::read_dir(host.paths.kernels()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_unknown_image_is_refused_with_the_known_ones() {
    let host = Host::new();
    let engine = host.engine().await;
    let request = api::CreateVm {
        image: Some("debain".into()),
        ..vm("a", true)
    };
    let error = engine.vms().create(request).await.unwrap_err().to_api();
    assert_eq!(error.code, ErrorCode::ImageNotFound);
    assert!(error.hint.unwrap().contains("debian"));
    assert!(engine.vms().list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_command_in_a_stopped_vm_is_refused_with_its_state() {
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
    let error = engine
        .vms()
        .exec("a", &guest::Exec::default())
        .await
        .unwrap_err()
        .to_api();
    assert_eq!(error.code, ErrorCode::VmState);
    assert!(error.message.contains("`a`: it is created"), "{error:?}");
}

#[tokio::test]
async fn a_disk_that_is_gone_empty_or_a_link_is_told_before_a_machine_starts() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("other");
    std::fs::write(&other, "not a disk").unwrap();
    for told in [
        "layer.ext4: No such file",
        "layer.ext4: it is empty",
        "layer.ext4: it is no plain file",
    ] {
        let id = run(&engine, "a").await.id;
        engine.vms().stop("a").await.unwrap().wait().await.unwrap();
        let disk = host.paths.vm(&id).join("layer.ext4");
        std::fs::remove_file(&disk).unwrap();
        match told.rsplit_once(' ').unwrap().1 {
            "empty" => std::fs::write(&disk, "").unwrap(),
            "file" if told.contains("plain") => std::os::unix::fs::symlink(&other, &disk).unwrap(),
            _ => {}
        }
        let started = engine.vms().start("a").await.unwrap().wait().await;
        let message = started.unwrap_err().message;
        assert!(
            message.starts_with("cannot start `a`: cannot use ") && message.contains(told),
            "{message}"
        );
        assert_eq!(engine.vms().show("a").await.unwrap().state, VmState::Error);
        delete(&engine, "a").await;
        leaks.assert_none_since().await;
    }
    assert_eq!(std::fs::read(&other).unwrap(), b"not a disk");
}
