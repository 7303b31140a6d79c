//! A daemon that ends or is killed, and the next one on the same state directory.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use api::VmState;
use support::{Host, becomes, daemon, delete, run, vm};
use testkit::{Again, GuestEnd, MachineFaults, POINTS_VARIABLE, Points, Then};

const ROOT: &str = "ENGINE_TEST_ROOT";

fn root_of_child() -> PathBuf {
    std::env::var_os(ROOT).unwrap().into()
}

#[test]
fn the_next_daemon_drives_a_running_vm_on() {
    let host = Host::new();
    daemon(&host, async |_| ());
    let leaks = host.leaks();
    let before = daemon(&host, async |engine| run(engine, "a").await);
    daemon(&host, async |engine| {
        let after = becomes(engine, "a", VmState::Running).await;
        assert_eq!((&after.pid, &after.boot_id), (&before.pid, &before.boot_id));
        let exec = guest::Exec {
            argv: vec!["true".into()],
            ..guest::Exec::default()
        };
        engine.vms().exec("a", &exec).await.unwrap();
        engine.vms().stop("a").await.unwrap().wait().await.unwrap();
        let after = engine.vms().show("a").await.unwrap();
        // That another daemon has found it is no boot.
        assert_eq!((after.started_at, after.rebooted), (before.started_at, None));
        delete(engine, "a").await;
        leaks.assert_none_since().await;
    });
}

#[test]
fn a_machine_that_ended_while_no_daemon_was_there_is_found_stopped() {
    let host = Host::new();
    let before = daemon(&host, async |engine| run(engine, "a").await);
    let killed = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    killed.block_on(async {
        let machine = vmm::Backend::find(&host.backend, &host.paths.vm(&before.id))
            .await
            .unwrap()
            .unwrap();
        machine.kill().await.unwrap();
    });
    daemon(&host, async |engine| {
        let after = engine.vms().show("a").await.unwrap();
        assert_eq!(after.state, VmState::Stopped);
        assert!(after.reason.unwrap().contains("while no daemon was there"));
        delete(engine, "a").await;
    });
}

#[test]
fn a_vm_whose_folder_was_removed_while_it_ran_is_ended_by_the_next_daemon() {
    let host = Host::new();
    daemon(&host, async |_| ());
    let leaks = host.leaks();
    let names = ["a", "b"];
    daemon(&host, async |engine| {
        for name in names {
            let vm = run(engine, name).await;
            std::fs::remove_dir_all(host.paths.vm(&vm.id)).unwrap();
        }
    });
    daemon(&host, async |engine| {
        for name in names {
            let after = engine.vms().show(name).await.unwrap();
            assert_eq!(after.state, VmState::Stopped);
            assert_eq!(after.reason.unwrap(), "its folder was removed while it ran");
            delete(engine, name).await;
        }
        leaks.assert_none_since().await;
    });
}

#[test]
fn a_copy_of_the_store_ends_no_vm_of_the_first() {
    let host = Host::new();
    let before = daemon(&host, async |engine| run(engine, "a").await);
    let other = Host::new();
    for end in ["", "-wal", "-shm"] {
        let name = |host: &Host| format!("{}{end}", host.paths.database().display());
        if std::fs::exists(name(&host)).unwrap() {
            std::fs::copy(name(&host), name(&other)).unwrap();
        }
    }
    daemon(&other, async |engine| {
        becomes(engine, "a", VmState::Stopped).await;
        delete(engine, "a").await;
    });
    daemon(&host, async |engine| {
        assert_eq!(becomes(engine, "a", VmState::Running).await.pid, before.pid);
        delete(engine, "a").await;
    });
}

#[test]
fn a_vm_that_was_starting_when_its_folder_went_leaves_no_machine() {
    let this = Again::of("a_vm_that_was_starting_when_its_folder_went_leaves_no_machine");
    if this.is_child() {
        let mut host = Host::at(&root_of_child());
        host.points = Points::from_environment();
        daemon(&host, async |engine| run(engine, "a").await);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Host::at(folder.path());
    daemon(&host, async |_| ());
    let leaks = host.leaks();
    let mut child = this.command();
    child
        .env(ROOT, folder.path())
        .env(POINTS_VARIABLE, "start.agent=crash");
    assert_eq!(child.status().unwrap().signal(), Some(9));
    for entry in std::fs::read_dir(host.paths.vms()).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    daemon(&host, async |engine| {
        assert!(engine.vms().list().await.unwrap().is_empty());
        leaks.assert_none_since().await;
    });
}

#[test]
fn a_vm_whose_record_cannot_be_read_is_addressable_and_goes_with_its_machine() {
    let host = Host::new();
    daemon(&host, async |_| ());
    let leaks = host.leaks();
    let vm = daemon(&host, async |engine| run(engine, "a").await);
    std::fs::write(host.paths.vm(&vm.id).join("process.json"), "{").unwrap();
    daemon(&host, async |engine| {
        let refused = engine.vms().stop("a").await.unwrap().wait().await.unwrap_err();
        assert!(refused.message.contains("process.json"), "{refused:?}");
        delete(engine, "a").await;
        leaks.assert_none_since().await;
    });
}

#[test]
fn what_is_half_made_in_the_cache_and_what_was_made_for_another_agent_goes() {
    let host = Host::new();
    daemon(&host, async |engine| run(engine, "a").await);
    let made = |host: &Host| {
        let entries = std::fs::read_dir(host.paths.initramfs()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let first = made(&host);
    assert_eq!(first.len(), 1);
    for folder in [host.paths.initramfs(), host.paths.layers()] {
        std::fs::write(folder.join(".new-half"), "x").unwrap();
    }
    host.change_agent();
    daemon(&host, async |engine| {
        for folder in [host.paths.initramfs(), host.paths.layers()] {
            assert!(!folder.join(".new-half").exists(), "{}", folder.display());
        }
        run(engine, "b").await;
        let second = made(&host);
        assert!(second.len() == 1 && second != first, "{second:?}");
        delete(engine, "a").await;
        delete(engine, "b").await;
    });
}

/// passt is the first program that the next daemon finds beside the machine.
#[test]
fn the_end_of_a_network_is_shown_and_told_until_the_vm_is_restarted() {
    let host = Host::new();
    let vm = daemon(&host, async |engine| run(engine, "a").await);
    let mut passt = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let identity = process::Identity::of(passt.id()).unwrap();
    process::write_record(&host.paths.vm(&vm.id).join("passt.json"), &identity).unwrap();
    daemon(&host, async |engine| {
        let mut listener = engine.listen();
        let before = becomes(engine, "a", VmState::Running).await;
        assert_eq!(before.reason, None);
        passt.kill().unwrap();
        passt.wait().unwrap();
        let told = loop {
            let notice = listener.next().await.unwrap();
            if let api::Happening::Vm { state, reason, .. } = &notice.what
                && reason.is_some()
            {
                break (*state, reason.clone());
            }
        };
        let lacks = engine.vms().show("a").await.unwrap();
        assert_eq!((lacks.state, lacks.pid), (VmState::Running, before.pid));
        assert_eq!(told, (VmState::Running, lacks.reason.clone()));
        assert!(lacks.reason.unwrap().contains("passt ended"));
    });
    daemon(&host, async |engine| {
        let reason = engine.vms().show("a").await.unwrap().reason;
        assert!(reason.unwrap().contains("passt ended"), "a next daemon knows it");
        engine.vms().restart("a").await.unwrap().wait().await.unwrap();
        assert_eq!(engine.vms().show("a").await.unwrap().reason, None);
        delete(engine, "a").await;
    });
}

#[test]
fn a_guest_that_rebooted_while_no_daemon_was_there_is_booted_by_the_next() {
    let host = Host::new();
    daemon(&host, async |_| ());
    let leaks = host.leaks();
    host.backend.fault_next(MachineFaults {
        ends: Some(GuestEnd {
            after_ms: 1000,
            prints: Some("[    9.0] reboot: Restarting system".into()),
            ..GuestEnd::at_once(Then::Reset)
        }),
        ..MachineFaults::default()
    });
    let before = daemon(&host, async |engine| run(engine, "a").await);
    let identity = process::read_record(&host.paths.vm(&before.id).join("process.json"));
    let identity = identity.unwrap().unwrap();
    while identity.is_alive() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    daemon(&host, async |engine| {
        let after = becomes(engine, "a", VmState::Running).await;
        assert_ne!((&after.pid, &after.boot_id), (&before.pid, &before.boot_id));
        let rebooted = after.rebooted.unwrap();
        assert_eq!((rebooted.times, rebooted.reason.as_str()), (1, "forced"));
        delete(engine, "a").await;
        leaks.assert_none_since().await;
    });
}

/// The VMM is no child of the daemon that learns of its end.
#[test]
fn the_next_daemon_knows_a_reboot_from_a_power_off() {
    let host = Host::new();
    for (word, state) in [
        (guest::Shutdown::Reboot, VmState::Running),
        (guest::Shutdown::PowerOff, VmState::Stopped),
    ] {
        host.backend.fault_next(MachineFaults {
            ends: Some(GuestEnd {
                after_ms: 1500,
                word: Some(word),
                ..GuestEnd::at_once(Then::Reset)
            }),
            ..MachineFaults::default()
        });
        let before = daemon(&host, async |engine| run(engine, "a").await);
        daemon(&host, async |engine| {
            while engine.vms().show("a").await.unwrap().pid == before.pid {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            let after = becomes(engine, "a", state).await;
            assert_ne!(after.boot_id, before.boot_id);
            delete(engine, "a").await;
        });
    }
}

#[test]
fn an_ephemeral_vm_does_not_outlive_the_daemon_that_held_its_lease() {
    let host = Host::new();
    daemon(&host, async |_| ());
    let leaks = host.leaks();
    daemon(&host, async |engine| {
        let request = api::CreateVm {
            ephemeral: true,
            ..vm("a", true)
        };
        engine.vms().create(request).await.unwrap().wait().await.unwrap();
    });
    daemon(&host, async |engine| {
        assert!(engine.vms().list().await.unwrap().is_empty());
        leaks.assert_none_since().await;
    });
}

/// The child is a daemon that dies at an armed point, as by `kill -9`, while it creates and starts a VM.
#[test]
fn a_daemon_killed_at_any_step_of_a_start_undoes_it_on_the_next() {
    let this = Again::of("a_daemon_killed_at_any_step_of_a_start_undoes_it_on_the_next");
    if this.is_child() {
        let mut host = Host::at(&root_of_child());
        host.points = Points::from_environment();
        daemon(&host, async |engine| run(engine, "a").await);
        return;
    }
    let points = {
        let host = Host::new();
        daemon(&host, async |engine| {
            run(engine, "a").await;
            let points = host.points.hits();
            delete(engine, "a").await;
            points
        })
    };
    assert!(points.iter().any(|point| point == "start.machine"), "{points:?}");
    for point in points {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::at(folder.path());
        // The database and what surrounds it are there before.
        daemon(&host, async |_| ());
        let leaks = host.leaks();
        let mut child = this.command();
        child
            .env(ROOT, folder.path())
            .env(POINTS_VARIABLE, format!("{point}=crash"));
        assert_eq!(child.status().unwrap().signal(), Some(9), "{point}");
        daemon(&host, async |engine| {
            assert!(engine.vms().list().await.unwrap().is_empty(), "{point}");
            leaks.assert_none_since().await;
            run(engine, "a").await;
            delete(engine, "a").await;
            leaks.assert_none_since().await;
        });
    }
}

/// The same with a VM that existed before: it is kept, stopped, with the reason.
#[test]
fn a_daemon_killed_during_the_start_of_an_older_vm_leaves_it_stopped() {
    let this = Again::of("a_daemon_killed_during_the_start_of_an_older_vm_leaves_it_stopped");
    if this.is_child() {
        let mut host = Host::at(&root_of_child());
        host.points = Points::from_environment();
        daemon(&host, async |engine| {
            engine.vms().start("a").await.unwrap().wait().await.unwrap()
        });
        return;
    }
    for point in ["start.network", "start.machine", "start.agent", "start.record"] {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::at(folder.path());
        daemon(&host, async |engine| {
            engine
                .vms()
                .create(vm("a", false))
                .await
                .unwrap()
                .wait()
                .await
                .unwrap()
        });
        let mut child = this.command();
        child
            .env(ROOT, folder.path())
            .env(POINTS_VARIABLE, format!("{point}=crash"));
        assert_eq!(child.status().unwrap().signal(), Some(9), "{point}");
        daemon(&host, async |engine| {
            let kept = engine.vms().show("a").await.unwrap();
            assert_eq!((kept.state, kept.pid), (VmState::Stopped, None), "{point}");
            assert!(kept.reason.unwrap().contains("while it was starting"), "{point}");
            engine.vms().start("a").await.unwrap().wait().await.unwrap();
            delete(engine, "a").await;
        });
    }
}

/// The guest's own wish for another boot is kept.
#[test]
fn a_daemon_killed_while_it_boots_a_guest_again_leaves_that_to_the_next() {
    let this = Again::of("a_daemon_killed_while_it_boots_a_guest_again_leaves_that_to_the_next");
    if this.is_child() {
        let mut host = Host::at(&root_of_child());
        host.points = Points::from_environment();
        daemon(&host, async |_| std::future::pending::<()>().await);
        return;
    }
    for point in ["start.network", "start.machine", "start.agent", "start.record"] {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::at(folder.path());
        host.backend.fault_next(MachineFaults {
            ends: Some(GuestEnd {
                after_ms: 1000,
                word: Some(guest::Shutdown::Reboot),
                ..GuestEnd::at_once(Then::Reset)
            }),
            ..MachineFaults::default()
        });
        let before = daemon(&host, async |engine| run(engine, "a").await);
        let mut child = this.command();
        child
            .env(ROOT, folder.path())
            .env(POINTS_VARIABLE, format!("{point}=crash"));
        assert_eq!(child.status().unwrap().signal(), Some(9), "{point}");
        daemon(&host, async |engine| {
            let after = becomes(engine, "a", VmState::Running).await;
            assert_ne!(after.boot_id, before.boot_id, "{point}");
            delete(engine, "a").await;
        });
    }
}

#[test]
fn the_next_daemon_publishes_the_ports_of_a_running_vm_again() {
    let host = Host::new();
    // The guest is a process of this host.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let guest = server.local_addr().unwrap().port();
    let request = api::CreateVm {
        publish: vec![format!("0:{guest}").parse().unwrap()],
        ..vm("a", true)
    };
    let port = daemon(&host, async |engine| {
        let operation = engine.vms().create(request).await.unwrap();
        operation.wait().await.unwrap().unwrap().publish[0]
    });
    daemon(&host, async |engine| {
        assert_eq!(engine.vms().show("a").await.unwrap().publish, [port]);
        while tokio::net::TcpStream::connect(port.reachable()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let accepted = tokio::task::spawn_blocking(move || server.accept().map(|_| ()));
        accepted.await.unwrap().unwrap();
        delete(engine, "a").await;
    });
}
