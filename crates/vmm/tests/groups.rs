//! Control groups of machines: what they bound, that they go with the machine however it ends, and who gets none.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod elf;
mod fake;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Lab, firecracker, in_time, processes_in, qemu_at, run_again, until};
use rustix::process::getuid;
use vmm::{Backend, groups};

/// The groups of the machine in that folder.
fn of(folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string(folder.join("control-groups")).unwrap_or_default();
    list.lines().map(PathBuf::from).collect()
}

fn read(groups: &[PathBuf], file: &str) -> Option<String> {
    let text = groups
        .iter()
        .find_map(|group| fs::read_to_string(group.join(file)).ok());
    text.map(|text| text.trim().to_owned())
}

/// Of either version.
fn memory(groups: &[PathBuf]) -> Option<u64> {
    let text = read(groups, "memory.max").or_else(|| read(groups, "memory.limit_in_bytes"));
    text?.parse().ok()
}

/// All this needs root, or a user that lingers.
fn expect_groups() {
    if let Err(reason) = groups::outlook() {
        panic!("this host gives no control groups, which this test needs: {reason}");
    }
}

async fn has_groups_and_leaves_none(
    backend: &dyn Backend,
    lab: &Lab,
    kernel: &[u8],
    own_mib: u64,
    threads: u32,
) {
    let spec = lab.spec(kernel);
    let machine = in_time(backend.start(&spec)).await.unwrap();
    let groups = of(&lab.folder);
    for group in &groups {
        assert_eq!(processes_in(group), [machine.pid()], "{}", group.display());
    }
    assert_eq!(memory(&groups), Some((64 + own_mib) << 20));
    assert_eq!(read(&groups, "pids.max"), Some((1 + threads).to_string()));
    let told = groups::in_force(&lab.folder);
    assert!(told.starts_with("control group (memory, threads"), "{told}");
    in_time(machine.kill()).await.unwrap();
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
    assert_eq!(lab.left(), Vec::<String>::new());
    assert_eq!(groups::in_force(&lab.folder), "process limits, system calls");
}

#[tokio::test]
async fn each_machine_has_a_control_group_that_goes_with_it() {
    if !getuid().is_root() {
        return a_user_without_systemds_leave_has_no_control_groups_and_runs_machines().await;
    }
    expect_groups();
    let lab = Lab::new();
    let qemu = qemu_at(fake::greedy(&lab));
    has_groups_and_leaves_none(&qemu, &lab, b"never read", 2048, 96).await;
    let lab = Lab::new();
    has_groups_and_leaves_none(&firecracker(), &lab, &elf::waiting_kernel(), 1024, 16).await;
}

#[tokio::test]
async fn groups_of_a_machine_that_ended_while_no_daemon_was_there_are_removed_by_the_next() {
    let lab = Lab::new();
    let machine = qemu_at(fake::greedy(&lab))
        .start(&lab.spec(b"never read"))
        .await
        .unwrap();
    let groups = of(&lab.folder);
    assert_eq!(groups.is_empty(), groups::outlook().is_err());
    let identity = lab.process("process.json").unwrap();
    drop(machine);
    identity.open().unwrap().kill(process::Signal::KILL).unwrap();
    until(|| (!identity.is_alive()).then_some(())).await;
    assert!(groups.iter().all(|group| group.exists()));
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn groups_of_a_start_that_failed_are_removed() {
    let lab = Lab::new();
    let before = of_this_host();
    in_time(qemu_at("/bin/false").start(&lab.spec(b"never read")))
        .await
        .unwrap_err();
    assert_eq!(lab.left(), Vec::<String>::new());
    // Tests beside this one have machines as well.
    let name = format!(
        "vm-{:x}-",
        fs::metadata(&lab.folder)
            .map(|found| std::os::unix::fs::MetadataExt::ino(&found))
            .unwrap()
    );
    let after = of_this_host();
    assert!(
        !after.iter().any(|path| path.contains(&name)),
        "{before:?} {after:?}"
    );
}

/// Groups of machines, wherever they are mounted.
fn of_this_host() -> Vec<String> {
    let output = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", "vm-*"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_machine_that_takes_more_memory_than_its_group_has_is_ended_and_says_so() {
    if !getuid().is_root() {
        return a_user_without_systemds_leave_has_no_control_groups_and_runs_machines().await;
    }
    expect_groups();
    let lab = Lab::new();
    let machine = qemu_at(fake::greedy(&lab))
        .start(&lab.spec(b"never read"))
        .await
        .unwrap();
    let groups = of(&lab.folder);
    for (file, value) in [
        ("memory.limit_in_bytes", "128M"),
        ("memory.memsw.limit_in_bytes", "128M"),
        ("memory.max", "128M"),
        ("memory.swap.max", "0"),
    ] {
        for group in groups.iter().filter(|group| group.join(file).exists()) {
            fs::write(group.join(file), value).unwrap();
        }
    }
    let pause = machine.pause();
    let told = in_time(async { tokio::join!(machine.wait(), pause).0 })
        .await
        .reason;
    assert_eq!(
        told,
        "QEMU was ended by SIGKILL: its control group was out of memory"
    );
    in_time(machine.kill()).await.unwrap();
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
}

/// Where systemd gives this user none.
async fn a_user_without_systemds_leave_has_no_control_groups_and_runs_machines() {
    let Err(reason) = groups::outlook() else { return };
    let lab = Lab::new();
    let machine = qemu_at(fake::greedy(&lab))
        .start(&lab.spec(b"never read"))
        .await
        .unwrap();
    assert_eq!(of(&lab.folder), Vec::<PathBuf>::new(), "{reason}");
    assert_eq!(groups::in_force(&lab.folder), "process limits, system calls");
    in_time(machine.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "run by a_user_gets_no_control_group_that_would_end_with_the_login"]
async fn by_a_plain_user() {
    assert!(groups::outlook().is_err());
    a_user_without_systemds_leave_has_no_control_groups_and_runs_machines().await;
}

#[test]
fn a_user_gets_no_control_group_that_would_end_with_the_login() {
    let how = if getuid().is_root() {
        "exec setpriv --reuid 61000 --regid 61000 --clear-groups \"$@\""
    } else {
        // A user that lingers here does in this test as well.
        "exec unshare --user \"$@\""
    };
    run_again(&["/bin/sh"], how, "by_a_plain_user");
}
