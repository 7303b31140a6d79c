//! Guests that end their machines: by their init, past it, and by a failure of their kernel. On QEMU and, where a host's
//! KVM is usable, on Firecracker, which has no power button.

use std::time::Instant;

use crate::Home;
use crate::home::wait_for;

fn run(home: &Home) {
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
}

fn show(home: &Home) -> serde_json::Value {
    serde_json::from_str(&home.succeeds(&["vm", "show", "--json", "a"])).unwrap()
}

fn state(home: &Home) -> String {
    show(home)["state"].as_str().unwrap().to_owned()
}

/// Runs something in the guest that may not come back.
fn within(home: &Home, script: &str) {
    home.run(&["vm", "exec", "a", "--", "sh", "-c", script]);
}

/// What a shell in the VM prints.
fn says(home: &Home, script: &str) -> String {
    home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", script])
}

/// Does it in a guest that runs, and gives the reason for which the VM is off then; it is started again.
fn ends(home: &Home, script: &str) -> String {
    within(home, script);
    wait_for("the end of the machine", || state(home) == "stopped");
    let vm = show(home);
    assert_eq!(vm["pid"], serde_json::Value::Null, "{script}");
    let shown = home.succeeds(&["vm", "show", "a"]);
    let reason = vm["reason"].as_str().unwrap().to_owned();
    assert!(shown.contains(&reason), "{shown}");
    let listed = home.succeeds(&["vm", "list"]);
    assert!(listed.contains("stopped"), "{listed}");
    home.succeeds(&["vm", "start", "a"]);
    reason
}

/// Does it in a guest that runs; the VM is in another boot then.
fn reboots(home: &Home, script: &str) {
    let before = show(home);
    within(home, script);
    wait_for("the next boot", || {
        let now = show(home);
        now["state"] == "running" && now["boot_id"] != before["boot_id"]
    });
    let now = show(home);
    assert_eq!(now["id"], before["id"]);
    let boot_id = says(home, "cat /proc/sys/kernel/random/boot_id");
    assert_eq!(now["boot_id"], boot_id.trim(), "{script}");
}

/// A stop is in order, quiet, and says how long it took.
fn stops_cleanly(home: &Home) -> std::time::Duration {
    let since = Instant::now();
    let stopped = home.run(&["vm", "stop", "--timings", "a"]);
    let took = since.elapsed();
    assert_eq!(stopped.code, Some(0), "{}", stopped.err);
    assert!(stopped.err.contains("shut down"), "{}", stopped.err);
    assert!(stopped.err.contains("stop.guest"), "{}", stopped.err);
    for word in ["killed", "lost", "warning"] {
        assert!(!stopped.err.contains(word), "{}", stopped.err);
    }
    println!("a stop took {took:?}: {}", stopped.err);
    assert_eq!(show(home)["reason"], serde_json::Value::Null);
    took
}

const POWERED_OFF: &str = "the guest powered off";
const EITHER: &str = "the guest powered off or halted";
/// The kernel shuts the disks down first: an init that reads its own program from one at that moment dies by SIGBUS, or
/// with its loader's code.
const LOST_INIT: &str = "the guest's kernel panicked: Attempted to kill init! exitcode=0x0000";

/// systemd is asked once it listens.
const ASK: &str = "until systemctl is-active -q basic.target; do sleep 0.2; done; ";

#[test]
fn a_guest_with_systemd_ends_its_machine_by_each_way_of_its_inits() {
    let home = Home::new();
    run(&home);
    // Not synced: what a shutdown writes out is there after it.
    reboots(&home, &format!("{ASK} echo kept > /root/kept; reboot"));
    assert_eq!(says(&home, "cat /root/kept"), "kept\n");
    assert_eq!(ends(&home, &format!("{ASK} poweroff")), POWERED_OFF);
    assert_eq!(ends(&home, &format!("{ASK} shutdown -h now")), POWERED_OFF);
    assert_eq!(ends(&home, &format!("{ASK} halt")), "the guest halted");
    assert_eq!(says(&home, "cat /root/kept"), "kept\n");
    // Booted to the end: a shutdown in the middle of a boot takes a busy host longer than a stop waits.
    says(
        &home,
        &format!("{ASK} systemctl is-system-running --wait || true"),
    );
    stops_cleanly(&home);
    home.succeeds(&["vm", "delete", "a"]);
}

#[test]
fn a_guest_ends_its_machine_past_its_init_and_by_a_panic() {
    let home = Home::new();
    run(&home);
    for script in [
        "sync; poweroff -f",
        "sync; halt -f",
        "sync; echo o > /proc/sysrq-trigger; sleep 60",
    ] {
        let off = ends(&home, script);
        assert!(
            [POWERED_OFF, EITHER].contains(&off.as_str()) || off.starts_with(LOST_INIT),
            "{script}: {off}"
        );
    }
    let off = ends(&home, "sync; echo b > /proc/sysrq-trigger; sleep 60");
    assert!(
        off.starts_with("the guest reset its machine without a shutdown"),
        "{off}"
    );
    let off = ends(&home, "sync; echo c > /proc/sysrq-trigger; sleep 60");
    assert_eq!(off, "the guest's kernel panicked: sysrq triggered crash");
    reboots(&home, "sync; reboot -f");
    stops_cleanly(&home);
    home.succeeds(&["vm", "delete", "a"]);
}

#[test]
fn a_guest_without_an_init_ends_its_machine_by_the_signals_that_an_init_takes() {
    let home = Home::new();
    run(&home);
    says(&home, "rm /sbin/init /usr/lib/systemd/systemd");
    home.succeeds(&["vm", "restart", "a"]);
    assert_eq!(says(&home, "cat /proc/1/comm"), "banger-init\n");
    // As busybox' and systemd's programs send them.
    reboots(&home, "echo kept > /root/kept; kill -TERM 1; sleep 60");
    assert_eq!(says(&home, "cat /root/kept"), "kept\n");
    assert_eq!(ends(&home, "kill -USR2 1; sleep 60"), POWERED_OFF);
    assert_eq!(ends(&home, "kill -USR1 1; sleep 60"), "the guest halted");
    stops_cleanly(&home);
    home.succeeds(&["vm", "delete", "a"]);
}

#[test]
fn a_guest_with_busybox_ends_its_machine_by_its_own_programs() {
    let home = Home::new();
    run(&home);
    // Of the same release as the guest, or without libraries.
    home.succeeds(&["vm", "cp", "/bin/busybox", "a:/usr/local/bin/busybox"]);
    says(
        &home,
        "rm -f /sbin/init && ln -s /usr/local/bin/busybox /sbin/init && echo ::sysinit:/bin/true > /etc/inittab",
    );
    home.succeeds(&["vm", "restart", "a"]);
    assert!(says(&home, "readlink /proc/1/exe").contains("busybox"));
    reboots(&home, "echo kept > /root/kept; busybox reboot; sleep 60");
    assert_eq!(says(&home, "cat /root/kept"), "kept\n");
    let off = ends(&home, "busybox poweroff; sleep 60");
    assert!([POWERED_OFF, EITHER].contains(&off.as_str()), "{off}");
    assert_eq!(ends(&home, "busybox halt; sleep 60"), EITHER);
    stops_cleanly(&home);
    home.succeeds(&["vm", "delete", "a"]);
}
