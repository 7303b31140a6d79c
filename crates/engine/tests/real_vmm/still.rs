//! Guests that stand still, and go on: where they are, and elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::{CreateVm, Vm};
use engine::Engine;
use guest::Agent;
use guest::frames::{Exit, Frame};
use vmm::{Channel, Drive, Machine, MachineSpec, RateLimit};

use crate::host::{Host, Vmm, becomes, delete, output, run, script};

/// Long enough for any answer of a guest that runs.
const SILENCE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(120);
/// Enough for a Debian; a snapshot writes all of it.
const MEMORY_MIB: u64 = 256;

async fn machine(host: &Host, id: &str) -> Arc<dyn Machine> {
    vmm::find(&host.paths.vm(id)).await.unwrap().unwrap()
}

pub async fn pause_and_resume(engine: &Engine, host: &Host, vm: &Vm) {
    output(engine, "echo here > /dev/shm/note").await;
    let machine = machine(host, &vm.id).await;
    machine.pause().await.unwrap();
    let asked = Box::pin(output(engine, "cat /dev/shm/note"));
    let Err(_) = tokio::time::timeout(SILENCE, asked).await else {
        panic!("a paused guest answers");
    };
    machine.resume().await.unwrap();
    let answer = output(engine, "cat /dev/shm/note").await;
    assert_eq!(answer, ("here\n".into(), Exit::Code(0)));
    assert_eq!(engine.vms().show("a").await.unwrap().boot_id, vm.boot_id);
    // It has missed the time for which it was asked in vain.
    let before = SystemTime::now();
    let (time, _) = output(engine, "date +%s.%N").await;
    let guest = UNIX_EPOCH + Duration::from_secs_f64(time.trim().parse().unwrap());
    let second = Duration::from_secs(1);
    assert!(
        guest + second > before && guest < SystemTime::now() + second,
        "{guest:?} for {before:?}"
    );
}

pub fn a_paused_guest_does_nothing_and_goes_on(vmm: Vmm) {
    let host = Host::new(vmm);
    host.daemon(async |engine| {
        let vm = run(engine, CreateVm::default()).await;
        pause_and_resume(engine, &host, &vm).await;
        delete(engine).await;
    });
}

/// What a machine without a jail was made of, by the links in its world; its layer as a copy.
fn another(host: &Host, id: &str) -> MachineSpec {
    let world = host.paths.vm(id).join("firecracker");
    let part = |name: &str| world.join(name).canonicalize().unwrap();
    let layer = host.folder("copied").join("layer.ext4");
    copy(&part("drive1"), &layer);
    let drive = |path: PathBuf, read_only| Drive {
        path,
        read_only,
        limit: RateLimit::default(),
    };
    MachineSpec {
        id: "another".into(),
        folder: host.folder("another"),
        vcpu: 1,
        memory_mib: MEMORY_MIB,
        kernel: part("kernel"),
        initramfs: part("initramfs"),
        command_line: String::new(),
        drives: vec![
            drive(part("drive0"), true),
            drive(layer, false),
            drive(part("drive2"), true),
        ],
        network: None,
    }
}

/// Holes as holes.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg("--sparse=always")
        .args([from, to])
        .status();
    assert!(copied.unwrap().success());
}

/// What a script prints in a guest that no engine knows.
async fn output_of(machine: &dyn Machine, text: &str) -> String {
    let Channel::Vsock { socket } = machine.channel() else {
        panic!("Firecracker's channel is a vsock");
    };
    let asking = async {
        let agent = Agent::connect(&guest::Channel::Vsock { socket }).await.unwrap();
        let mut stream = agent.exec(&script(text)).await.unwrap();
        let mut output = Vec::new();
        while let Some(frame) = Frame::read(&mut stream).await.unwrap() {
            match frame {
                Frame::Stdout(bytes) => output.extend(bytes),
                Frame::Exit(_) => break,
                _ => {}
            }
        }
        String::from_utf8(output).unwrap()
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("`{text}` has no answer"))
}

pub fn a_guest_goes_on_from_its_snapshot_in_another_vm() {
    let host = Host::new(Vmm::Firecracker);
    host.daemon(async |engine| {
        let leaks = host.leaks();
        let request = CreateVm {
            memory_mib: Some(MEMORY_MIB),
            ..CreateVm::default()
        };
        let vm = run(engine, request).await;
        output(engine, "echo here > /dev/shm/note; echo there > /root/note; sync").await;
        let first = machine(&host, &vm.id).await;
        first.pause().await.unwrap();
        let snapshot = host.folder("snapshot");
        first.snapshot(&snapshot).await.unwrap();
        let spec = another(&host, &vm.id);
        // Both at once, each with a layer of its own.
        first.resume().await.unwrap();
        let second = host.backend.restore(&spec, &snapshot).await.unwrap();
        let read = "cat /dev/shm/note /root/note /proc/sys/kernel/random/boot_id";
        let expected = format!("here\nthere\n{}\n", vm.boot_id.as_ref().unwrap());
        assert_eq!(output_of(&*second, read).await, expected);
        assert_eq!(output(engine, read).await, (expected, Exit::Code(0)));
        output_of(&*second, "echo mine > /root/note; sync").await;
        assert_eq!(
            output(engine, "cat /root/note").await,
            ("there\n".into(), Exit::Code(0))
        );
        second.kill().await.unwrap();
        becomes(engine, "the first one", |vm| vm.pid == Some(first.pid())).await;
        delete(engine).await;
        for name in ["snapshot", "another", "copied"] {
            fs::remove_dir_all(host.folder(name)).unwrap();
        }
        leaks.assert_none_since().await;
    });
}
