//! Machines in the real Firecracker, up to the guest's first instruction: start, pause, snapshot, find, end, and what
//! is left.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod elf;

use std::fs;
use std::num::NonZeroU64;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use common::{Lab, firecracker, firecracker_binary, in_time, until, vsock};
use elf::waiting_kernel;
use process::Identity;
use vmm::{Backend, MachineSpec, RateLimit, VmmError};

/// A machine with an image, read-only, and a layer.
fn spec(lab: &Lab) -> MachineSpec {
    MachineSpec {
        drives: vec![lab.drive("image", true), lab.drive("layer", false)],
        ..lab.spec(&waiting_kernel())
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_machine_runs_until_it_is_killed_and_leaves_only_its_logs() {
    let lab = Lab::new();
    let firecracker = firecracker();
    assert!(firecracker.name().starts_with("firecracker/1."));
    let machine = in_time(firecracker.start(&spec(&lab))).await.unwrap();
    assert_eq!(lab.process("process.json").unwrap().pid, machine.pid());
    for (name, expected) in [
        ("", 0o700),
        ("process.json", 0o600),
        ("firecracker", 0o700),
        ("firecracker/run", 0o700),
    ] {
        assert_eq!(mode(&lab.folder.join(name)), expected, "{name}");
    }
    for name in ["api.sock", "agent.sock"] {
        let others = mode(&lab.folder.join("firecracker/run").join(name)) & 0o077;
        assert_eq!(others, 0, "{name}");
    }
    UnixStream::connect(vsock(&*machine)).unwrap();

    in_time(machine.kill()).await.unwrap();
    assert!(Identity::of(machine.pid()).is_err());
    assert_eq!(lab.left(), Vec::<String>::new());
    in_time(machine.kill()).await.unwrap();
    assert_eq!(
        in_time(machine.wait()).await.reason,
        "Firecracker was ended by SIGKILL"
    );
}

#[tokio::test]
async fn a_machine_is_found_again_and_driven_on() {
    let lab = Lab::new();
    let spec = spec(&lab);
    let machine = in_time(firecracker().start(&spec)).await.unwrap();
    let pid = machine.pid();
    drop(machine);

    let found = vmm::find(&lab.folder).await.unwrap().unwrap();
    assert_eq!(found.pid(), pid);
    in_time(found.pause()).await.unwrap();
    in_time(found.resume()).await.unwrap();
    in_time(found.grow_drive(1, 1 << 20)).await.unwrap();
    assert_eq!(fs::metadata(&spec.drives[1].path).unwrap().len(), 1 << 20);
    in_time(found.kill()).await.unwrap();
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn drives_with_limits_are_taken_and_what_is_counted_is_kept() {
    let lab = Lab::new();
    let mut spec = spec(&lab);
    spec.drives[0].limit.operations_per_second = NonZeroU64::new(1000);
    spec.drives[1].limit = RateLimit {
        bytes_per_second: NonZeroU64::new(10 << 20),
        operations_per_second: NonZeroU64::new(1000),
    };
    let machine = in_time(firecracker().start(&spec)).await.unwrap();
    // The first of its lines is written at the start, the others once a minute.
    let counted = || {
        let counted = vmm::metrics_log(&lab.folder).ok()?;
        let line = counted.split_inclusive(|&byte| byte == b'\n').next()?;
        serde_json::from_slice::<serde_json::Value>(line).ok()
    };
    let counted = until(counted).await;
    assert_eq!(counted["put_api_requests"]["drive_count"], 2, "{counted}");
    in_time(machine.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_machine_that_ended_while_no_daemon_was_there_is_gone_and_its_traces_too() {
    let lab = Lab::new();
    let machine = in_time(firecracker().start(&spec(&lab))).await.unwrap();
    let identity = lab.process("process.json").unwrap();
    machine.signal(process::Signal::KILL).unwrap();
    in_time(machine.wait()).await;
    drop(machine);
    assert!(!identity.is_alive());
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn another_vm_goes_on_from_a_snapshot_wherever_the_first_one_is() {
    let (one, other) = (Lab::new(), Lab::new());
    let snapshot = tempfile::tempdir().unwrap();
    let machine = in_time(firecracker().start(&spec(&one))).await.unwrap();
    let error = in_time(machine.snapshot(snapshot.path())).await.unwrap_err();
    assert!(
        matches!(error, VmmError::Refused { .. }),
        "only of one that is paused: {error}"
    );
    in_time(machine.pause()).await.unwrap();
    in_time(machine.snapshot(snapshot.path())).await.unwrap();
    in_time(machine.kill()).await.unwrap();
    drop(one);

    let memory = snapshot.path().join("memory");
    assert_eq!(mode(&memory) & 0o077, 0);
    let about = fs::metadata(&memory).unwrap();
    assert_eq!(about.len(), 64 << 20);
    // The kernel and little else: this guest has touched nothing.
    assert!(about.blocks() * 512 < 16 << 20, "{about:?}");
    let before = fs::metadata(&memory).unwrap().modified().unwrap();
    let machine = in_time(firecracker().restore(&spec(&other), snapshot.path()))
        .await
        .unwrap();
    UnixStream::connect(vsock(&*machine)).unwrap();
    in_time(machine.pause()).await.unwrap();
    in_time(machine.kill()).await.unwrap();
    assert_eq!(fs::metadata(&memory).unwrap().modified().unwrap(), before);
    assert_eq!(other.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_snapshot_that_is_none_or_of_another_version_is_told_and_leaves_nothing() {
    let lab = Lab::new();
    let snapshot = tempfile::tempdir().unwrap();
    let spec = spec(&lab);
    let error = in_time(firecracker().restore(&spec, snapshot.path()))
        .await
        .unwrap_err();
    let missing = snapshot.path().join("state");
    assert_eq!(error.to_string(), format!("cannot open {}", missing.display()));
    for name in ["state", "memory"] {
        fs::write(snapshot.path().join(name), [7; 4096]).unwrap();
    }
    let error = in_time(firecracker().restore(&spec, snapshot.path()))
        .await
        .unwrap_err();
    let told = error.to_string();
    assert!(
        told.to_lowercase().contains("snapshot") && !told.contains('\n'),
        "{told}"
    );
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_kernel_that_is_no_elf_is_told_in_firecrackers_words_and_leaves_nothing() {
    let lab = Lab::new();
    let error = in_time(firecracker().start(&lab.spec(b"no kernel")))
        .await
        .unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("refused `PUT /actions`: ") && told.contains("ELF"),
        "{told}"
    );
    assert!(!told.contains('\n'));
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_of_the_machine_that_is_missing_is_named() {
    let lab = Lab::new();
    let missing = lab.root().join("no-such-file");
    let mut spec = spec(&lab);
    spec.drives[0].path.clone_from(&missing);
    let error = in_time(firecracker().start(&spec)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot open {}", missing.display()));
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn more_memory_than_the_host_has_is_told_and_leaves_nothing() {
    let lab = Lab::new();
    let spec = MachineSpec {
        memory_mib: 1 << 40,
        ..spec(&lab)
    };
    let error = in_time(firecracker().start(&spec)).await.unwrap_err();
    assert!(matches!(error, VmmError::Refused { .. }), "{error}");
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_folder_with_a_long_path_serves_as_well() {
    let lab = Lab::at(&"a folder, that is long and odd: \"ü\"/".repeat(6));
    let machine = in_time(firecracker().start(&spec(&lab))).await.unwrap();
    UnixStream::connect(vsock(&*machine)).unwrap();
    drop(machine);
    let found = vmm::find(&lab.folder).await.unwrap().unwrap();
    UnixStream::connect(vsock(&*found)).unwrap();
    in_time(found.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn firecracker_sees_its_world_and_nothing_of_the_host() {
    let lab = Lab::new();
    let machine = in_time(firecracker().start(&spec(&lab))).await.unwrap();
    let of = |name: &str| PathBuf::from(format!("/proc/{}/{name}", machine.pid()));
    let seen = names_in(&of("root"));
    // Wherever the binary lies, the way to it is shown, and nothing beside that.
    let binary = firecracker_binary().canonicalize().unwrap();
    for absent in ["home", "proc", "sys", "root", "var", "tmp"] {
        let there = seen.iter().any(|name| name == absent);
        assert_eq!(there, binary.starts_with(Path::new("/").join(absent)), "{seen:?}");
    }
    let way: Vec<_> = binary.iter().skip(1).collect();
    let mut folder = of("root");
    for (part, next) in way.iter().zip(&way[1..]) {
        folder.push(part);
        if !["usr", "bin", "sbin", "lib", "lib64", "etc"]
            .iter()
            .any(|shown| way[0] == *shown)
        {
            assert_eq!(
                names_in(&folder),
                [next.to_string_lossy()],
                "{}",
                folder.display()
            );
        }
    }
    for present in ["drive0", "drive1", "initramfs", "kernel", "run"] {
        assert!(seen.iter().any(|name| name == present), "{seen:?}");
    }
    for namespace in ["mnt", "pid", "net", "ipc", "uts"] {
        let namespace = format!("ns/{namespace}");
        let own = fs::read_link(Path::new("/proc/self").join(&namespace)).unwrap();
        assert_ne!(fs::read_link(of(&namespace)).unwrap(), own, "{namespace}");
    }
    let status = fs::read_to_string(of("status")).unwrap();
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    in_time(machine.kill()).await.unwrap();
}
