//! A VMM whose main thread has ended, alone, while the others go on: to the system it has not ended.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::{Lab, in_time, qemu_at, until};
use vmm::Backend;

/// Answers on the control socket as QEMU does; `stop` ends its main thread.
const SCRIPT: &str = r#"#!/usr/bin/python3
import ctypes, json, platform, socket, sys, threading, time
control = next(word for word in sys.argv if word.startswith("socket,id=control,"))
number = int(control.split("fd=")[1].split(",")[0])
listener = socket.socket(fileno=number)
threading.Thread(target=lambda: time.sleep(100000)).start()
while True:
    peer, _ = listener.accept()
    said = peer.makefile("rw")
    print(json.dumps({"QMP": {"version": {}, "capabilities": []}}), file=said, flush=True)
    for line in said:
        command = json.loads(line)
        if command["execute"] == "stop":
            ctypes.CDLL(None).syscall({"x86_64": 60}.get(platform.machine(), 93), 0)
        print(json.dumps({"return": {"status": "running", "running": True}}), file=said, flush=True)
"#;

fn fake(lab: &Lab) -> PathBuf {
    let path = lab.root().join("qemu");
    fs::write(&path, SCRIPT).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn has_lost_its_main_thread(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

const TOLD: &str = "QEMU was ended after the end of its main thread";

#[tokio::test]
async fn a_vmm_that_lost_its_main_thread_is_ended_and_told() {
    let lab = Lab::new();
    let machine = qemu_at(fake(&lab)).start(&lab.spec(b"never read")).await.unwrap();
    let pid = machine.pid();
    // It has no answer to this.
    let pause = machine.pause();
    let told = in_time(async { tokio::join!(machine.wait(), pause).0 }).await;
    assert_eq!(told, TOLD);
    assert!(process::Identity::of(pid).is_err());
    in_time(machine.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn one_that_lost_it_while_no_daemon_was_there_is_found_and_ended_too() {
    let lab = Lab::new();
    let machine = qemu_at(fake(&lab)).start(&lab.spec(b"never read")).await.unwrap();
    let pid = machine.pid();
    let mut pause = Box::pin(machine.pause());
    let lost = until(|| has_lost_its_main_thread(pid).then_some(()));
    tokio::select! {
        biased;
        () = lost => {}
        answer = &mut pause => panic!("it answers: {answer:?}"),
    }
    drop(pause);
    drop(machine);

    let found = in_time(vmm::find(&lab.folder)).await.unwrap().unwrap();
    assert_eq!(found.pid(), pid);
    assert_eq!(in_time(found.wait()).await, TOLD);
    in_time(found.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
    assert!(in_time(vmm::find(&lab.folder)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_vmm_that_loses_it_at_start_is_ended_and_the_start_fails() {
    let lab = Lab::new();
    let path = fake(&lab);
    let script = SCRIPT.replace("\"stop\"", "\"qmp_capabilities\"");
    fs::write(&path, script).unwrap();
    let error = in_time(qemu_at(path).start(&lab.spec(b"never read")))
        .await
        .unwrap_err();
    assert!(matches!(error, vmm::VmmError::DiedAtStart { .. }), "{error}");
    assert_eq!(lab.left(), Vec::<String>::new());
}
