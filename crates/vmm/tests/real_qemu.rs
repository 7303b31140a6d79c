//! Machines in the real QEMU, in software emulation unless they are to have KVM: start, find, end, and what is left.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod confined;
mod kernel;

use std::fs;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use common::{Lab, acceleration, in_time, qemu_at, until};
use kernel::{Then, kernel};
use process::Identity;
use vmm::{Backend, Channel, Drive, How, Machine, MachineSpec, NetworkDevice, Qemu, RateLimit, VmmError};

const BINARY: &str = "/usr/bin/qemu-system-x86_64";
const MAC: &str = "52:54:00:12:34:56";

fn qemu() -> Qemu {
    qemu_at(BINARY)
}

/// An image, read-only, and a layer.
fn drives(lab: &Lab) -> Vec<Drive> {
    vec![lab.drive("image", true), lab.drive("layer", false)]
}

/// Waits until the console shows what `enough` wants.
async fn console(lab: &Lab, enough: impl Fn(&str) -> bool) -> String {
    let read = || Some(String::from_utf8_lossy(&vmm::console_log(&lab.folder).ok()?).into_owned());
    until(|| read().filter(|text| enough(text))).await
}

fn socket(machine: &dyn Machine) -> PathBuf {
    match machine.channel() {
        Channel::VirtioSerial { socket } => socket,
        other @ Channel::Vsock { .. } => panic!("QEMU has no {other:?}"),
    }
}

fn is_alive(pid: u32) -> bool {
    Identity::of(pid).is_ok()
}

#[tokio::test]
async fn a_machine_runs_until_it_is_killed_and_leaves_only_its_logs() {
    let lab = Lab::new();
    let mut spec = lab.spec(&kernel("hello", Then::Halt));
    spec.drives = drives(&lab);
    let machine = qemu().start(&spec).await.unwrap();
    assert_eq!(lab.process("process.json").unwrap().pid, machine.pid());
    let name = match acceleration() {
        vmm::qemu::Acceleration::Tcg => "qemu/tcg",
        vmm::qemu::Acceleration::Kvm => "qemu/kvm",
    };
    assert_eq!(qemu().name(), name);
    for (name, mode) in [
        ("", 0o700),
        ("process.json", 0o600),
        ("agent.sock", 0o600),
        ("qmp.sock", 0o600),
    ] {
        let found = fs::metadata(lab.folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    UnixStream::connect(socket(&*machine)).unwrap();
    assert_eq!(console(&lab, |text| text.len() >= 5).await, "hello");
    assert_eq!(
        fs::metadata(lab.folder.join("console.log")).unwrap().mode() & 0o777,
        0o600
    );

    in_time(machine.kill()).await.unwrap();
    assert!(!is_alive(machine.pid()));
    assert_eq!(lab.left(), Vec::<String>::new());
    in_time(machine.kill()).await.unwrap();
    assert_eq!(in_time(machine.wait()).await.reason, "QEMU was ended by SIGKILL");
    assert_eq!(vmm::console_log(&lab.folder).unwrap(), b"hello");
}

#[tokio::test]
async fn a_machine_is_found_again_and_driven_on() {
    let lab = Lab::new();
    let machine = qemu()
        .start(&lab.spec(&kernel("hello", Then::Halt)))
        .await
        .unwrap();
    let pid = machine.pid();
    drop(machine);

    let found = vmm::find(&lab.folder).await.unwrap().unwrap();
    assert_eq!(found.pid(), pid);
    UnixStream::connect(socket(&*found)).unwrap();
    drop(found);
    let found = qemu().find(&lab.folder).await.unwrap().unwrap();
    in_time(found.kill()).await.unwrap();
    assert!(!is_alive(pid));
    in_time(found.wait()).await;
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_machine_that_ended_while_no_daemon_was_there_is_gone_and_its_traces_too() {
    let lab = Lab::new();
    let machine = qemu().start(&lab.spec(&kernel("bye", Then::Halt))).await.unwrap();
    let identity = lab.process("process.json").unwrap();
    drop(machine);
    identity.open().unwrap().kill(process::Signal::KILL).unwrap();
    until(|| (!identity.is_alive()).then_some(())).await;
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_guest_that_powers_off_is_told_from_a_vmm_that_dies() {
    let lab = Lab::new();
    let machine = qemu()
        .start(&lab.spec(&kernel("bye", Then::PowerOff)))
        .await
        .unwrap();
    assert_eq!(in_time(machine.wait()).await.reason, "the guest powered off");
    assert_eq!(in_time(machine.wait()).await.reason, "the guest powered off");
    // Whoever was told of the end finds the last words.
    assert_eq!(vmm::console_log(&lab.folder).unwrap(), b"bye");

    // The same folder again.
    let machine = qemu()
        .start(&lab.spec(&kernel("hello", Then::Halt)))
        .await
        .unwrap();
    let process = lab.process("process.json").unwrap().open().unwrap();
    process.kill(process::Signal::TERM).unwrap();
    let told = in_time(machine.wait()).await.reason;
    assert!(told.contains("terminating on signal 15"), "{told}");
    in_time(machine.kill()).await.unwrap();
}

#[tokio::test]
async fn a_found_machine_tells_why_it_ended() {
    let lab = Lab::new();
    let machine = qemu()
        .start(&lab.spec(&kernel("hello", Then::Halt)))
        .await
        .unwrap();
    drop(machine);
    let found = vmm::find(&lab.folder).await.unwrap().unwrap();
    let process = lab.process("process.json").unwrap().open().unwrap();
    process.kill(process::Signal::TERM).unwrap();
    let told = in_time(found.wait()).await.reason;
    assert!(told.contains("terminating on signal 15"), "{told}");
}

#[tokio::test]
async fn a_guest_reset_ends_the_machine_and_differs_from_a_power_off() {
    let lab = Lab::new();
    for (then, how) in [(Then::Reset, How::Reset), (Then::PowerOff, How::PoweredOff)] {
        let machine = qemu().start(&lab.spec(&kernel("boot.", then))).await.unwrap();
        assert_eq!(in_time(machine.wait()).await.how, how);
        assert_eq!(vmm::console_log(&lab.folder).unwrap(), b"boot.");
    }
}

#[tokio::test]
async fn a_found_machine_reports_the_reset_of_its_guest() {
    let lab = Lab::new();
    let text = "boot.".repeat(200);
    let machine = qemu()
        .start(&lab.spec(&kernel(&text, Then::Reset)))
        .await
        .unwrap();
    machine.pause().await.unwrap();
    drop(machine);
    let found = vmm::find(&lab.folder).await.unwrap().unwrap();
    // Where it was paused too late, it has ended and is not found.
    found.resume().await.unwrap();
    assert_eq!(in_time(found.wait()).await.how, How::Reset);
}

#[tokio::test]
async fn a_qemu_that_dies_at_start_says_why() {
    let lab = Lab::new();
    let error = in_time(qemu().start(&lab.spec(b"no kernel"))).await.unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, VmmError::DiedAtStart { .. }), "{told}");
    assert!(
        told.starts_with("/usr/bin/qemu-system-x86_64 ended at start: "),
        "{told}"
    );
    assert!(told.contains("kernel") && !told.contains('\n'), "{told}");
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_of_the_machine_that_is_missing_is_named() {
    let lab = Lab::new();
    let whole = lab.spec(&kernel("", Then::Halt));
    let missing = lab.root().join("no-such-file");
    let drive = Drive {
        path: missing.clone(),
        read_only: true,
        limit: RateLimit::default(),
    };
    for spec in [
        MachineSpec {
            kernel: missing.clone(),
            ..whole.clone()
        },
        MachineSpec {
            initramfs: missing.clone(),
            ..whole.clone()
        },
        MachineSpec {
            drives: vec![drive],
            ..whole.clone()
        },
    ] {
        let error = qemu().start(&spec).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot open {}", missing.display()));
        assert_eq!(lab.left(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_disk_with_a_limit_is_used_and_grows() {
    let lab = Lab::new();
    let mut spec = lab.spec(&kernel("", Then::Halt));
    spec.drives = drives(&lab);
    for drive in &mut spec.drives {
        drive.limit = RateLimit {
            bytes_per_second: NonZeroU64::new(10 << 20),
            operations_per_second: NonZeroU64::new(1000),
        };
    }
    let machine = qemu().start(&spec).await.unwrap();
    machine.grow_drive(1, 1 << 20).await.unwrap();
    assert_eq!(fs::metadata(&spec.drives[1].path).unwrap().len(), 1 << 20);
    in_time(machine.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn two_machines_share_an_image_but_never_a_layer() {
    let (one, other) = (Lab::new(), Lab::new());
    let mut spec = one.spec(&kernel("", Then::Halt));
    spec.drives = drives(&one);
    let first = qemu().start(&spec).await.unwrap();

    let mut same = other.spec(&kernel("", Then::Halt));
    same.drives.clone_from(&spec.drives);
    let error = in_time(qemu().start(&same)).await.unwrap_err();
    assert!(error.to_string().contains("lock"), "{error}");

    same.drives[1].path = one.root().join("other layer, with a comma");
    fs::write(&same.drives[1].path, [0; 4096]).unwrap();
    let second = qemu().start(&same).await.unwrap();
    for machine in [first, second] {
        in_time(machine.kill()).await.unwrap();
    }
}

#[tokio::test]
async fn a_folder_with_a_long_path_serves_as_well() {
    let lab = Lab::at(&"a folder, that is long and odd: \"ü\"/".repeat(6));
    let machine = qemu()
        .start(&lab.spec(&kernel("hello", Then::Halt)))
        .await
        .unwrap();
    let path = socket(&*machine);
    assert!(path.as_os_str().len() < 108);
    UnixStream::connect(path).unwrap();
    drop(machine);
    let found = vmm::find(&lab.folder).await.unwrap().unwrap();
    UnixStream::connect(socket(&*found)).unwrap();
    in_time(found.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn the_end_of_the_network_is_the_machines_alone() {
    let lab = Lab::new();
    let (mut peer, end) = UnixStream::pair().unwrap();
    let device = NetworkDevice::Socket {
        socket: std::os::fd::OwnedFd::from(end).into(),
        mac: MAC.into(),
        mtu: 1500,
    };
    let spec = MachineSpec {
        network: Some(device),
        ..lab.spec(&kernel("", Then::Halt))
    };
    let machine = qemu().start(&spec).await.unwrap();
    drop(spec);
    // A frame with its length before it; QEMU reads until the guest has no more room.
    peer.write_all(&[[0, 0, 0, 60].as_slice(), &[0xff; 60]].concat())
        .unwrap();
    peer.set_nonblocking(true).unwrap();
    let error = peer.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);

    in_time(machine.kill()).await.unwrap();
    peer.set_nonblocking(false).unwrap();
    // The end, or a reset where QEMU had not read the frame.
    assert!(matches!(peer.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[tokio::test]
async fn the_built_in_network_needs_nothing_of_the_host() {
    let lab = Lab::new();
    let spec = MachineSpec {
        network: Some(NetworkDevice::BuiltIn { mac: MAC.into() }),
        ..lab.spec(&kernel("", Then::Halt))
    };
    let machine = qemu().start(&spec).await.unwrap();
    in_time(machine.kill()).await.unwrap();
}

#[tokio::test]
async fn the_console_log_is_bounded() {
    let lab = Lab::new();
    let spec = lab.spec(&kernel("and so on, for ever and ever. ", Then::Repeat));
    let machine = qemu().start(&spec).await.unwrap();
    let pid = machine.pid();
    // As after the end of the daemon: nobody looks.
    drop(machine);
    let older = lab.folder.join("console.log.1");
    let inode = || older.metadata().ok().map(|metadata| metadata.ino());
    let first = until(inode).await;
    until(|| inode().filter(|inode| *inode != first)).await;
    let log = vmm::console_log(&lab.folder).unwrap();
    assert!((1 << 20..=2 << 20).contains(&log.len()), "{}", log.len());
    assert!(
        String::from_utf8(log)
            .unwrap()
            .contains("and so on, for ever and ever. and so on")
    );
    let on_disk: u64 = fs::read_dir(&lab.folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(on_disk <= (2 << 20) + (1 << 16), "{on_disk}");

    // Nor does it end while the guest prints.
    assert!(is_alive(pid));
    let found = vmm::find(&lab.folder).await.unwrap().unwrap();
    in_time(found.kill()).await.unwrap();
}

#[test]
fn the_version_is_asked_of_the_binary() {
    let version = vmm::qemu::version(Path::new(BINARY)).unwrap();
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    assert!(parts.next() >= Some(7), "{version}");
    assert_eq!(vmm::qemu::version(Path::new(BINARY)).unwrap(), version);
}
