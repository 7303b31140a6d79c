//! VMMs that are missing, no VMMs at all, or go silent; and records that tell of something else.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::{Lab, firecracker_at, in_time, qemu_at, until};
use process::Identity;
use vmm::{Backend, VmmError};

fn script(lab: &Lab, text: &str) -> PathBuf {
    let path = lab.root().join("fake-qemu");
    fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_vmm_that_was_removed_since_it_was_chosen_is_named() {
    let lab = Lab::new();
    let error = qemu_at("/nowhere/qemu")
        .start(&lab.spec(b"never read"))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/qemu was not found");
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_vmm_that_cannot_be_executed_leaves_nothing() {
    let lab = Lab::new();
    let path = lab.root().join("initramfs");
    let error = qemu_at(&path).start(&lab.spec(b"never read")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} could not be started", path.display())
    );
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn the_last_lines_of_a_vmm_that_dies_are_told() {
    let lab = Lab::new();
    let fake = script(&lab, "printf 'one\\ntwo\\n\\033[31mthree\\n\\nfour' >&2; exit 7");
    let error = in_time(qemu_at(&fake).start(&lab.spec(b"never read")))
        .await
        .unwrap_err();
    let told = format!("{} ended at start: two; \\u{{1b}}[31mthree; four", fake.display());
    assert_eq!(error.to_string(), told);
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn the_last_lines_of_a_firecracker_that_dies_are_told() {
    let lab = Lab::new();
    let fake = script(&lab, "echo 'no memory' >&2; exit 7");
    let error = in_time(firecracker_at(&fake).start(&lab.spec(b"never read")))
        .await
        .unwrap_err();
    let told = format!("{} ended at start: no memory", fake.display());
    assert_eq!(error.to_string(), told);
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_firecracker_that_answers_nonsense_is_ended() {
    let lab = Lab::new();
    // It listens where it is told to and answers everything alike.
    let server = "import os,socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\n\
                  while 1:\n c=s.accept()[0]\n c.recv(9999)\n c.sendall(b'\\xa5'*99999)\n";
    let fake = script(
        &lab,
        &format!("exec /usr/bin/python3 -c \"{server}\" run/api.sock"),
    );
    let fake = firecracker_at(&fake);
    let spec = lab.spec(b"never read");
    let seen = until(|| lab.process("process.json"));
    let (error, vmm) = tokio::join!(in_time(fake.start(&spec)), seen);
    let error = error.unwrap_err();
    assert!(matches!(error, VmmError::Control { .. }), "{error}");
    assert!(!vmm.is_alive());
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_vmm_that_hangs_up_on_its_control_socket_is_ended() {
    let lab = Lab::new();
    let fake = script(
        &lab,
        "for ((fd = 3; fd < 100; fd++)); do eval \"exec $fd>&-\"; done; exec sleep 1000",
    );
    let fake = qemu_at(&fake);
    let spec = lab.spec(b"never read");
    let seen = until(|| lab.process("process.json"));
    let (error, vmm) = tokio::join!(in_time(fake.start(&spec)), seen);
    let error = error.unwrap_err();
    assert!(matches!(error, VmmError::Control { .. }), "{error}");
    assert!(!vmm.is_alive());
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_no_process() {
    let lab = Lab::new();
    let fake = qemu_at(script(&lab, "exec sleep 1000"));
    let spec = lab.spec(b"never read");
    let vmm = tokio::select! {
        started = fake.start(&spec) => panic!("it never answers: {started:?}"),
        vmm = until(|| lab.process("process.json")) => vmm,
    };
    until(|| (!vmm.is_alive()).then_some(())).await;
    until(|| lab.process("process.json").is_none().then_some(())).await;
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// The keeper of the logs that this process has started.
fn keeper() -> Option<Identity> {
    let mut children = String::new();
    for thread in fs::read_dir("/proc/self/task").unwrap() {
        // One that is just ending has none.
        children += &fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
    }
    let asked = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
    let pid = pids.find(|&pid| asked(pid).contains("vm-log-keeper"))?;
    Identity::of(pid).ok()
}

#[tokio::test]
async fn a_log_keeper_that_was_killed_is_replaced_at_the_next_start() {
    let lab = Lab::new();
    let fake = qemu_at(script(&lab, "echo 'last words' >&2; exit 7"));
    let spec = lab.spec(b"never read");
    in_time(fake.start(&spec)).await.unwrap_err();
    let first = keeper().unwrap();
    first.open().unwrap().kill(process::Signal::KILL).unwrap();
    until(|| (!first.is_alive()).then_some(())).await;
    let error = in_time(fake.start(&spec)).await.unwrap_err();
    assert!(
        error.to_string().ends_with("ended at start: last words"),
        "{error}"
    );
    assert_ne!(keeper().unwrap(), first);
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_program_that_keeps_no_logs_is_found_out() {
    let lab = Lab::new();
    let fake = script(&lab, "exec sleep 1000");
    let backend = qemu_at(fake).with_log_keeper("/bin/true");
    let error = in_time(backend.start(&lab.spec(b"never read")))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "/bin/true could not be started");
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_record_whose_pid_belongs_to_something_else_is_forgotten_and_nothing_is_signalled() {
    let lab = Lab::new();
    let this = Identity::of(std::process::id()).unwrap();
    let earlier = Identity {
        start_time: this.start_time - 1,
        ..this.clone()
    };
    process::write_record(&lab.folder.join("process.json"), &earlier).unwrap();
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    assert_eq!(lab.left(), Vec::<String>::new());
    assert!(this.is_alive());
}

#[tokio::test]
async fn a_damaged_record_is_an_error_and_stays() {
    let lab = Lab::new();
    fs::write(lab.folder.join("process.json"), "{\"pid\": 1}").unwrap();
    let error = vmm::find(&lab.folder).await.unwrap_err();
    assert!(matches!(error, VmmError::File { .. }), "{error}");
    assert_eq!(lab.left(), ["process.json"]);
}
