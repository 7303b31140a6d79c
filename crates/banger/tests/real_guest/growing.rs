//! A VM's disk grows, while it runs and while it is off, and its services are waited for.

use crate::Home;

#[test]
fn a_disk_grows_while_the_vm_runs_and_the_guest_sees_it() {
    let home = Home::new();
    home.succeeds(&[
        "vm",
        "run",
        "-d",
        "--name",
        "a",
        "--disk-size",
        "1G",
        "--wait",
        "boot",
    ]);
    let in_guest = |script: &str| home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", script]);
    let state = in_guest("systemctl is-system-running || true");
    assert!(!state.contains("starting"), "it has booted: {state}");
    let mebibytes = || -> u64 {
        let table = in_guest("df -m --output=size /");
        table.lines().last().unwrap().trim().parse().unwrap()
    };
    in_guest("echo kept > /root/file && sync");
    assert!(mebibytes() < 1024);
    home.succeeds(&["vm", "set", "a", "--disk-size", "3G"]);
    assert!((2800..=3072).contains(&mebibytes()), "{}", mebibytes());
    home.succeeds(&["vm", "stop", "a"]);
    home.succeeds(&["vm", "set", "a", "--disk-size", "4G", "--vcpu", "2"]);
    home.succeeds(&["vm", "start", "a"]);
    assert!((3800..=4096).contains(&mebibytes()), "{}", mebibytes());
    assert_eq!(in_guest("nproc; cat /root/file"), "2\nkept\n");
    home.succeeds(&["vm", "delete", "a"]);
}
