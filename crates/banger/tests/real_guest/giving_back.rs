//! What a guest has no use for any more is the host's again: disk and memory.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::Home;
use crate::home::wait_for;

const MIB: u64 = 1 << 20;

#[test]
fn what_a_guest_deletes_and_frees_goes_back_to_the_host() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--memory", "1G"]);
    let in_guest = |script: &str| home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", script]);

    let layer = home.vm_folders()[0].join("layer.ext4");
    let on_host = || fs::metadata(&layer).unwrap().blocks() * 512;
    let before = on_host();
    // Nothing that a host or a guest could pack.
    in_guest("head -c 200M /dev/urandom > /root/file && sync");
    assert!(on_host() >= before + 190 * MIB, "{before} {}", on_host());
    in_guest("rm /root/file && sync");
    wait_for("what the file took on disk", || on_host() < before + 20 * MIB);

    let vm: serde_json::Value = serde_json::from_str(&home.succeeds(&["vm", "show", "a", "--json"])).unwrap();
    let status = format!("/proc/{}/status", vm["pid"]);
    let resident = || {
        let text = fs::read_to_string(&status).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    in_guest("head -c 400M /dev/urandom > /dev/shm/file");
    let full = resident();
    in_guest("rm /dev/shm/file");
    wait_for("the memory that the file took", || resident() + 250 * MIB < full);
    home.succeeds(&["vm", "delete", "a"]);
}
