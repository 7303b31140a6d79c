//! A daemon that is killed in each phase of what it does with a Firecracker, jailed and not: the next one finds the
//! machine and drives it, or finds none, and nothing stays.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod elf;
mod inner;

use std::fs;
use std::path::Path;
use std::process::Child;

use common::{Lab, firecracker_at, firecracker_binary, in_time, until};
use elf::waiting_kernel;
use vmm::firecracker::Jailer;
use vmm::{Backend, Firecracker, MachineSpec};

/// A moment in which the daemon is killed, by what lies in the lab then, and whether a machine runs for certain.
const PHASES: [(&str, Sure); 6] = [
    // Where the world is made, but no process.
    ("vm/firecracker", Sure::No),
    ("vm/process.json", Sure::No),
    ("vm/firecracker/run/api.sock", Sure::No),
    ("started", Sure::Yes),
    ("paused", Sure::Yes),
    // While memory is being written.
    ("vm/firecracker/run/memory", Sure::Yes),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sure {
    Yes,
    No,
}

fn plain(_: &Path) -> Firecracker {
    firecracker_at(firecracker_binary())
}

fn jailed(root: &Path) -> Firecracker {
    let firecracker = firecracker_binary();
    let jailer = Jailer::new(firecracker.with_file_name("jailer"), root.join("jail"));
    firecracker_at(&firecracker).with_jailer(Some(jailer))
}

fn spec(lab: &Lab) -> MachineSpec {
    MachineSpec {
        memory_mib: 512,
        drives: vec![lab.drive("image", true), lab.drive("layer", false)],
        ..lab.spec(&waiting_kernel())
    }
}

/// What a daemon does, until somebody kills it.
async fn live(firecracker: Firecracker, root: &Path) {
    let lab = Lab::of(root, "vm");
    let say = |what: &str| fs::write(root.join(what), "").unwrap();
    let machine = firecracker.start(&spec(&lab)).await.unwrap();
    say("started");
    machine.pause().await.unwrap();
    say("paused");
    let snapshot = root.join("snapshot");
    fs::create_dir(&snapshot).unwrap();
    machine.snapshot(&snapshot).await.unwrap();
    say("written");
    std::future::pending::<()>().await;
}

#[tokio::test]
#[ignore = "run by the tests of this file"]
async fn a_daemon() {
    live(plain(&inner::folder()), &inner::folder()).await;
}

#[tokio::test]
#[ignore = "run by the tests of this file"]
async fn a_daemon_with_jails() {
    live(jailed(&inner::folder()), &inner::folder()).await;
}

/// A daemon that has come as far as `sign`; a failure of its own is told.
async fn daemon(test: &str, root: &Path, sign: &str) -> Child {
    let mut command = inner::inner(&[], test, root);
    let output = fs::File::create(root.join("output")).unwrap();
    let mut daemon = command
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let sign = root.join(sign);
    until(|| {
        if let Some(status) = daemon.try_wait().unwrap() {
            let said = fs::read_to_string(root.join("output")).unwrap();
            panic!("the daemon ended ({status}) before {}: {said}", sign.display());
        }
        fs::symlink_metadata(&sign).ok()
    })
    .await;
    daemon
}

async fn killed_in_each_phase(test: &str) {
    for (sign, sure) in PHASES {
        let root = tempfile::tempdir().unwrap();
        let mut daemon = daemon(test, root.path(), sign).await;
        daemon.kill().unwrap();
        daemon.wait().unwrap();

        let folder = root.path().join("vm");
        let recorded = process::read_record(&folder.join("process.json")).unwrap();
        let machine = vmm::find(&folder).await.unwrap();
        assert!(machine.is_some() || sure == Sure::No, "{sign}");
        if let Some(machine) = machine {
            if sure == Sure::Yes {
                // Whatever it was in the middle of, it does what it is told.
                in_time(machine.pause()).await.unwrap();
                in_time(machine.resume()).await.unwrap();
                in_time(machine.grow_drive(1, 1 << 20)).await.unwrap();
            }
            in_time(machine.kill()).await.unwrap();
        }
        assert!(recorded.is_none_or(|process| !process.is_alive()), "{sign}");
        assert!(vmm::find(&folder).await.unwrap().is_none());
        nothing_is_left(root.path(), sign);
    }
}

/// Neither in the VM's folder nor among the jails nor mounted.
fn nothing_is_left(root: &Path, sign: &str) {
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.contains(".log"))
            .collect()
    };
    assert_eq!(names(&root.join("vm")), Vec::<String>::new(), "{sign}");
    assert_eq!(
        names(&root.join("jail/firecracker")),
        Vec::<String>::new(),
        "{sign}"
    );
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(root.to_str().unwrap()), "{sign}");
}

#[tokio::test]
async fn a_daemon_killed_in_any_phase_leaves_a_machine_that_the_next_drives_or_nothing() {
    killed_in_each_phase("a_daemon").await;
}

#[tokio::test]
async fn a_daemon_with_jails_killed_in_any_phase_leaves_a_machine_that_the_next_drives_or_nothing() {
    assert!(rustix::process::geteuid().is_root(), "the jailer needs root");
    killed_in_each_phase("a_daemon_with_jails").await;
}
