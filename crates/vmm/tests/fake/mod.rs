//! A program in QEMU's place that answers on its control socket, and does to `stop` what a test asks for.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]
#![allow(dead_code, reason = "each file of tests uses what it needs")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::common::Lab;

const SCRIPT: &str = r#"#!/usr/bin/python3
import ctypes, json, platform, socket, sys, threading, time
control = next(word for word in sys.argv if word.startswith("socket,id=control,"))
number = int(control.split("fd=")[1].split(",")[0])
listener = socket.socket(fileno=number)
def end_main_thread():
    threading.Thread(target=lambda: time.sleep(100000)).start()
    ctypes.CDLL(None).syscall({"x86_64": 60}.get(platform.machine(), 93), 0)
def take_memory():
    global taken
    taken = bytearray(b"x" * (512 << 20))
while True:
    peer, _ = listener.accept()
    said = peer.makefile("rw")
    print(json.dumps({"QMP": {"version": {}, "capabilities": []}}), file=said, flush=True)
    for line in said:
        if json.loads(line)["execute"] == "WHEN":
            ACTION()
        print(json.dumps({"return": {"status": "running", "running": True}}), file=said, flush=True)
"#;

/// Ends its main thread alone at that command.
pub fn headless(lab: &Lab, when: &str) -> PathBuf {
    write(lab, when, "end_main_thread")
}

/// Takes 512 MiB at `stop`.
pub fn greedy(lab: &Lab) -> PathBuf {
    write(lab, "stop", "take_memory")
}

fn write(lab: &Lab, when: &str, action: &str) -> PathBuf {
    let path = lab.root().join("qemu");
    fs::write(&path, SCRIPT.replace("WHEN", when).replace("ACTION", action)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
