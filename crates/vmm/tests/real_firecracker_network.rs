//! Machines on a network in the real Firecracker, up to the guest's first instruction: confined, in a jail, from a
//! snapshot.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod elf;
mod peer;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Lab, firecracker, firecracker_binary, in_time, run_again};
use elf::waiting_kernel;
use peer::Peer;
use vmm::firecracker::Jailer;
use vmm::{Backend, Firecracker, Machine, MachineSpec, NetworkDevice, VmmError};

/// A shell whose mounts nobody else sees.
const PRIVATE_MOUNTS: [&str; 3] = ["unshare", "--mount", "sh"];

/// In jails below `base`.
fn jailed(base: &Path) -> Firecracker {
    let jailer = firecracker_binary().with_file_name("jailer");
    firecracker().with_jailer(Some(Jailer::new(jailer, base)))
}

fn spec(lab: &Lab, device: NetworkDevice) -> MachineSpec {
    MachineSpec {
        drives: vec![lab.drive("image", true), lab.drive("layer", false)],
        network: Some(device),
        ..lab.spec(&waiting_kernel())
    }
}

/// What `/proc/<pid>/net/dev` tells of a process's network: the names of its cards.
fn cards(pid: u32) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let mut names: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim().to_owned())
        .collect();
    names.sort();
    names
}

/// All that holds of a machine on a network, however it is walled in.
async fn look_at(machine: &dyn Machine, mut peer: Peer) {
    let wire = peer.take_wire();
    // No guest takes it: it waits in the card.
    wire.send(&[0xff; 60]);
    let pid = machine.pid();
    assert_eq!(cards(pid), ["lo", "out0", "vm0", "wire"]);
    let namespace = |of: &str| fs::read_link(Path::new("/proc").join(of).join("ns/net")).unwrap();
    assert_ne!(namespace(&pid.to_string()), namespace("self"));
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: Vec<PathBuf> = open
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .collect();
    let taps = open.iter().filter(|path| path.ends_with("dev/net/tun")).count();
    assert_eq!(taps, 1, "its own and not the far end: {open:?}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    in_time(machine.kill()).await.unwrap();
    peer.wait_for_the_end();
}

#[tokio::test]
async fn a_confined_machine_attaches_its_card_without_any_right() {
    let lab = Lab::new();
    let (peer, device) = Peer::new();
    let machine = in_time(firecracker().start(&spec(&lab, device))).await.unwrap();
    look_at(&*machine, peer).await;
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// This needs root, as the jailer does.
#[tokio::test]
async fn a_jailed_machine_attaches_its_card_as_the_user_of_its_jail() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    let (peer, device) = Peer::new();
    let machine = in_time(jailed(&base).start(&spec(&lab, device))).await.unwrap();
    look_at(&*machine, peer).await;
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn another_vm_goes_on_from_a_snapshot_on_a_network_of_its_own() {
    let (one, other) = (Lab::new(), Lab::new());
    let snapshot = tempfile::tempdir().unwrap();
    let (first, device) = Peer::new();
    let machine = in_time(firecracker().start(&spec(&one, device))).await.unwrap();
    in_time(machine.pause()).await.unwrap();
    in_time(machine.snapshot(snapshot.path())).await.unwrap();
    let (second, device) = Peer::new();
    // While the first one is still there: each has its card to itself.
    let restored = in_time(firecracker().restore(&spec(&other, device), snapshot.path()))
        .await
        .unwrap();
    in_time(machine.kill()).await.unwrap();
    first.wait_for_the_end();
    look_at(&*restored, second).await;
    assert_eq!(other.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_network_of_the_vmms_own_is_none_that_firecracker_has() {
    let lab = Lab::new();
    let device = NetworkDevice::BuiltIn {
        mac: peer::MAC.into(),
    };
    let error = in_time(firecracker().start(&spec(&lab, device)))
        .await
        .unwrap_err();
    assert!(matches!(error, VmmError::Unsupported { .. }), "{error}");
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "run by a_plain_user_needs_no_right_for_a_machine_on_a_network"]
async fn by_a_plain_user() {
    assert!(!rustix::process::geteuid().is_root());
    let lab = Lab::new();
    let (peer, device) = Peer::new();
    let machine = in_time(firecracker().start(&spec(&lab, device))).await.unwrap();
    look_at(&*machine, peer).await;
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// A host of the usual kind, where everyone may open both devices. This needs root, to make one.
#[test]
fn a_plain_user_needs_no_right_for_a_machine_on_a_network() {
    let how = "mount -t tmpfs tmpfs /dev/net; mknod -m 666 /dev/net/tun c 10 200; umask 0; \
               kvm=/dev/net/kvm; mknod -m 666 $kvm c 10 232; mount --bind $kvm /dev/kvm; \
               exec setpriv --reuid 61000 --regid 61000 --clear-groups \"$@\"";
    run_again(&PRIVATE_MOUNTS, how, "by_a_plain_user");
}

#[tokio::test]
#[ignore = "run by a_host_without_taps_is_named_as_the_reason"]
async fn without_taps() {
    let lab = Lab::new();
    let (_peer, device) = Peer::new();
    let error = in_time(firecracker().start(&spec(&lab, device)))
        .await
        .unwrap_err();
    assert!(matches!(error, VmmError::Taps { .. }), "{error}");
    assert_eq!(error.to_string(), "cannot make a network card by /dev/net/tun");
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// This needs root, to make such a host.
#[test]
fn a_host_without_taps_is_named_as_the_reason() {
    run_again(
        &PRIVATE_MOUNTS,
        "mount -t tmpfs tmpfs /dev/net; exec \"$@\"",
        "without_taps",
    );
}

#[tokio::test]
async fn fifty_machines_on_networks_leave_nothing() {
    let lab = Lab::new();
    let before = cards(std::process::id());
    let mut namespaces = Vec::new();
    for _ in 0..50 {
        let (peer, device) = Peer::new();
        let machine = in_time(firecracker().start(&spec(&lab, device))).await.unwrap();
        namespaces.push(fs::read_link(format!("/proc/{}/ns/net", machine.pid())).unwrap());
        in_time(machine.kill()).await.unwrap();
        peer.wait_for_the_end();
        assert_eq!(lab.left(), Vec::<String>::new());
    }
    assert_eq!(cards(std::process::id()), before);
    let processes = fs::read_dir("/proc").unwrap().map(Result::unwrap);
    let left: Vec<PathBuf> = processes
        .filter_map(|process| fs::read_link(process.path().join("ns/net")).ok())
        .collect();
    assert!(!namespaces.iter().any(|namespace| left.contains(namespace)));
}
