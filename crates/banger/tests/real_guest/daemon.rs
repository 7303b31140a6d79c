//! A daemon that ends, and what it leaves.

use nix::sys::signal::Signal;

use crate::Home;
use crate::home::wait_for;

const BOOT_ID: [&str; 6] = ["vm", "exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"];

#[test]
fn a_killed_daemon_leaves_its_vms_running() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a"]);
    let before = home.succeeds(&BOOT_ID);
    let first = home.daemon();
    home.end_daemon(Signal::SIGKILL);
    assert_eq!(home.succeeds(&BOOT_ID), before);
    assert_ne!(home.daemon(), first);
    home.succeeds(&["vm", "stop", "a"]);
    home.succeeds(&["vm", "delete", "a"]);
}

#[test]
fn after_everything_is_deleted_nothing_is_left() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a"]);
    assert!(
        home.processes().iter().any(|(_, line)| line.contains("qemu")),
        "{:?}",
        home.processes()
    );
    home.succeeds(&["vm", "delete", "a"]);
    home.end_daemon(Signal::SIGTERM);
    wait_for("the end of all processes", || home.processes().is_empty());
    assert!(home.vm_folders().is_empty());
    assert!(!home.state().join("bangerd.json").exists());
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let folder = home.state().display().to_string();
    assert!(!sockets.lines().any(|line| line.contains(&folder)), "{sockets}");
}

#[test]
fn stop_loses_no_write() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    let write = "for n in $(seq 200); do echo $n > /root/file-$n; done; head -c 20000000 /dev/urandom > /root/big; \
                 sha256sum /root/big";
    let sum = home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", write]);
    home.succeeds(&["vm", "stop", "a"]);
    home.succeeds(&["vm", "start", "a"]);
    let read = "cat /root/file-* | wc -l; cat /root/file-200; sha256sum /root/big";
    assert_eq!(
        home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", read]),
        format!("200\n200\n{sum}")
    );
    home.succeeds(&["vm", "delete", "a"]);
}
