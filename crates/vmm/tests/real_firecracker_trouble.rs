//! What goes wrong with the real Firecracker: one line for each, and nothing that stays.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod elf;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use common::{Lab, firecracker, firecracker_at, in_time, vsock};
use elf::waiting_kernel;
use process::Identity;
use vmm::{Backend, Machine, MachineSpec, VmmError};

fn spec(lab: &Lab) -> MachineSpec {
    MachineSpec {
        drives: vec![lab.drive("image", true), lab.drive("layer", false)],
        ..lab.spec(&waiting_kernel())
    }
}

/// One line, with its cause where it has one, and nothing is left in the VM's folder.
fn told(lab: &Lab, error: &VmmError) -> String {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    let told = format!("{error}{cause}");
    assert!(!told.contains('\n'), "{told}");
    assert_eq!(lab.left(), Vec::<String>::new());
    told
}

/// The checksum at a state's end: CRC-64 of Jones, lowest bit first, begun with zero.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &byte| {
        (0..8).fold(sum ^ u64::from(byte), |sum, _| {
            if sum & 1 == 1 {
                (sum >> 1) ^ 0x95ac_9329_ac4b_c9b5
            } else {
                sum >> 1
            }
        })
    })
}

/// Makes a state say that it is of another version of the format: a number of 64 bits, then the version's length and
/// text, and at the end the checksum of all before it.
fn of_another_version(state: &Path) {
    let mut bytes = fs::read(state).unwrap();
    let end = bytes.len() - 8;
    let stored = u64::from_le_bytes(bytes[end..].try_into().unwrap());
    assert_eq!(checksum(&bytes[..end]), stored, "the format is another by now");
    assert!(bytes[16].is_ascii_digit() && bytes[17] == b'.');
    bytes[16] = b'9';
    let sum = checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    fs::write(state, bytes).unwrap();
}

#[tokio::test]
async fn a_snapshot_of_another_version_is_told_in_firecrackers_words_and_leaves_nothing() {
    assert_eq!(checksum(&[1, 2, 3, 4, 5]), 0xfb04_60de_0638_3654);
    let (one, other) = (Lab::new(), Lab::new());
    let snapshot = tempfile::tempdir().unwrap();
    let machine = in_time(firecracker().start(&spec(&one))).await.unwrap();
    in_time(machine.pause()).await.unwrap();
    in_time(machine.snapshot(snapshot.path())).await.unwrap();
    in_time(machine.kill()).await.unwrap();
    of_another_version(&snapshot.path().join("state"));
    let error = in_time(firecracker().restore(&spec(&other), snapshot.path())).await;
    let told = told(&other, &error.unwrap_err());
    assert!(
        told.starts_with("the VMM refused `PUT /snapshot/load`: ") && told.contains("version: 9."),
        "{told}"
    );
}

#[tokio::test]
async fn a_firecracker_that_is_missing_or_cannot_be_executed_is_named_and_leaves_nothing() {
    let lab = Lab::new();
    let error = firecracker_at("/nowhere/firecracker").start(&spec(&lab)).await;
    assert_eq!(
        told(&lab, &error.unwrap_err()),
        "/nowhere/firecracker was not found"
    );
    let path = lab.root().join("initramfs");
    let error = firecracker_at(&path).start(&spec(&lab)).await;
    assert_eq!(
        told(&lab, &error.unwrap_err()),
        format!(
            "{} could not be started: Permission denied (os error 13)",
            path.display()
        )
    );
    let error = vmm::firecracker::version(&path).unwrap_err();
    assert!(told(&lab, &error).ends_with("could not be started: Permission denied (os error 13)"));
}

#[tokio::test]
async fn a_pid_that_is_something_elses_by_now_is_left_alone_and_the_world_goes() {
    let lab = Lab::new();
    let machine = in_time(firecracker().start(&spec(&lab))).await.unwrap();
    let vmm = lab.process("process.json").unwrap();
    machine.signal(process::Signal::KILL).unwrap();
    in_time(machine.wait()).await;
    drop(machine);
    // As if its number had been handed out again: to this process.
    let this = Identity::of(std::process::id()).unwrap();
    let reused = Identity { pid: this.pid, ..vmm };
    process::write_record(&lab.folder.join("process.json"), &reused).unwrap();
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    assert_eq!(lab.left(), Vec::<String>::new());
    assert!(this.is_alive());
}

#[tokio::test]
async fn each_stream_is_a_connection_of_its_own_and_after_a_restore_there_are_new_ones() {
    let (one, other) = (Lab::new(), Lab::new());
    let snapshot = tempfile::tempdir().unwrap();
    let connect = |machine: &dyn Machine| -> Vec<UnixStream> {
        let connections = (0..20).map(|_| {
            let mut stream = UnixStream::connect(vsock(machine)).unwrap();
            stream.write_all(b"CONNECT 42070\n").unwrap();
            stream
        });
        connections.collect()
    };
    let machine = in_time(firecracker().start(&spec(&one))).await.unwrap();
    let before = connect(&*machine);
    in_time(machine.pause()).await.unwrap();
    in_time(machine.snapshot(snapshot.path())).await.unwrap();
    in_time(machine.kill()).await.unwrap();
    // Those are over, each by itself: whoever holds one is told, and asks anew.
    for mut stream in before {
        let ended = stream.read(&mut [0]);
        assert!(matches!(&ended, Ok(0) | Err(_)), "{ended:?}");
    }
    let machine = in_time(firecracker().restore(&spec(&other), snapshot.path()))
        .await
        .unwrap();
    assert_eq!(connect(&*machine).len(), 20);
    in_time(machine.kill()).await.unwrap();
    assert_eq!(other.left(), Vec::<String>::new());
}
