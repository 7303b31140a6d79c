//! Machines in jails of the real jailer: what is in one and whose it is, and that nothing of it outlives its machine.
//! These need root, as the jailer does.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod elf;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Lab, firecracker_at, firecracker_binary, in_time, processes_in, until, vsock};
use elf::waiting_kernel;
use process::Signal;
use vmm::firecracker::Jailer;
use vmm::{Backend, Firecracker, MachineSpec};

/// Jails below `base`.
fn jailed(base: &Path) -> Firecracker {
    let firecracker = firecracker_binary();
    let jailer = firecracker.with_file_name("jailer");
    assert!(
        jailer.is_file(),
        "{} is not there: run scripts/get-firecracker",
        jailer.display()
    );
    firecracker_at(&firecracker).with_jailer(Some(Jailer::new(jailer, base)))
}

/// A machine whose image only its owner may read.
fn spec(lab: &Lab) -> MachineSpec {
    let image = lab.drive("image", true);
    fs::set_permissions(&image.path, fs::Permissions::from_mode(0o600)).unwrap();
    MachineSpec {
        drives: vec![image, lab.drive("layer", false)],
        ..lab.spec(&waiting_kernel())
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// How much is mounted in a folder.
fn mounts(below: &Path) -> usize {
    let all = fs::read_to_string("/proc/self/mounts").unwrap();
    let below = format!(" {}/", below.display());
    all.lines().filter(|line| line.contains(&below)).count()
}

/// Nothing is left of a jail, and the layer belongs to whom it did.
fn nothing_is_left(lab: &Lab, base: &Path) {
    assert_eq!(lab.left(), Vec::<String>::new());
    assert_eq!(names(&base.join("firecracker")), Vec::<String>::new());
    let layer = fs::metadata(lab.root().join("layer")).unwrap();
    assert_eq!(layer.uid(), rustix::process::geteuid().as_raw());
}

#[tokio::test]
async fn a_jail_holds_what_its_machine_needs_and_belongs_to_a_user_of_its_own() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    let machine = in_time(jailed(&base).start(&spec(&lab))).await.unwrap();
    let root = lab.folder.join("firecracker").read_link().unwrap();
    assert_eq!(
        names(&root),
        [
            "dev",
            "drive0",
            "drive1",
            "firecracker",
            "firecracker.pid",
            "initramfs",
            "kernel",
            "run"
        ]
    );
    let owner = |name: &str| fs::metadata(root.join(name)).unwrap().uid();
    let user = owner("run");
    assert!(user > 1 << 30, "{user}");
    for name in ["drive1", "dev/kvm", "run/api.sock", "run/agent.sock"] {
        assert_eq!(owner(name), user, "{name}");
    }
    for name in ["drive0", "kernel", "initramfs", "firecracker"] {
        assert_eq!(owner(name), 0, "{name}");
    }
    UnixStream::connect(vsock(&*machine)).unwrap();

    let of = |name: &str| PathBuf::from(format!("/proc/{}/{name}", machine.pid()));
    let status = fs::read_to_string(of("status")).unwrap();
    for line in [
        format!("Uid:\t{user}\t{user}\t{user}\t{user}"),
        format!("Gid:\t{user}\t{user}\t{user}\t{user}"),
        "Groups:\t \n".into(),
        "CapPrm:\t0000000000000000".into(),
        "CapEff:\t0000000000000000".into(),
        "Seccomp:\t2".into(),
    ] {
        assert!(status.contains(&line), "{line} is not in {status}");
    }
    assert_eq!(names(&of("root")), names(&root));
    for namespace in ["mnt", "pid", "net", "ipc", "uts"] {
        let namespace = format!("ns/{namespace}");
        let own = fs::read_link(Path::new("/proc/self").join(&namespace)).unwrap();
        assert_ne!(fs::read_link(of(&namespace)).unwrap(), own, "{namespace}");
    }
    let limits = fs::read_to_string(of("limits")).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert!(files.contains(" 4096 "), "{files}");

    in_time(machine.kill()).await.unwrap();
    nothing_is_left(&lab, &base);
}

/// The control groups of a machine, by the file that one is looked at by: of the second version, or one of the first
/// for each.
fn control_groups(name: &str) -> Vec<(PathBuf, &'static str, u64)> {
    let (memory, threads) = ((64 + 256) << 20, 1 + 16);
    let all = [
        ("memory", "memory.max", memory),
        ("pids", "pids.max", threads),
        ("memory", "memory.limit_in_bytes", memory),
    ];
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let of_kind = |kind: &'static str| {
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields.filter(move |fields| fields[2] == kind)
    };
    let counted = |fields: &[&str], what: &str| match fields[2] {
        "cgroup" => fields[3].split(',').any(|option| option == what),
        _ => fs::read_to_string(Path::new(fields[1]).join("cgroup.controllers"))
            .unwrap()
            .split_whitespace()
            .any(|controller| controller == what),
    };
    let mut groups = Vec::new();
    for fields in of_kind("cgroup2").chain(of_kind("cgroup")) {
        for (what, file, limit) in all {
            let is_second = fields[2] == "cgroup2";
            if counted(&fields, what)
                && (file != "memory.limit_in_bytes" || !is_second)
                && (file != "memory.max" || is_second)
            {
                let group = format!("banger-{name}/{name}");
                groups.push((Path::new(fields[1]).join(group), file, limit));
            }
        }
    }
    groups
}

#[tokio::test]
async fn the_limits_of_a_machine_are_in_force_and_its_control_groups_go_with_it() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    // A name that no other run of this suite has on this host.
    let name = format!("limits-{}", std::process::id());
    let spec = MachineSpec {
        id: name.clone(),
        ..spec(&lab)
    };
    let machine = in_time(jailed(&base).start(&spec)).await.unwrap();
    let groups = control_groups(&name);
    assert!(
        groups.len() >= 2,
        "this host counts neither memory nor threads: mount control groups, of version 1 or 2"
    );
    for (group, file, limit) in &groups {
        let read = |name: &str| fs::read_to_string(group.join(name)).unwrap();
        assert_eq!(read(file).trim(), limit.to_string(), "{}", group.display());
        assert_eq!(processes_in(group), [machine.pid()]);
    }
    in_time(machine.kill()).await.unwrap();
    for (group, _, _) in &groups {
        assert!(!group.parent().unwrap().exists(), "{}", group.display());
    }
    nothing_is_left(&lab, &base);
}

#[tokio::test]
async fn a_jail_goes_with_its_machine_however_that_ends() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    let (firecracker, spec) = (jailed(&base), spec(&lab));
    // Killed by a later daemon.
    drop(in_time(firecracker.start(&spec)).await.unwrap());
    let found = vmm::find(&lab.folder).await.unwrap().unwrap();
    in_time(found.grow_drive(1, 1 << 20)).await.unwrap();
    in_time(found.kill()).await.unwrap();
    nothing_is_left(&lab, &base);

    // Ended while no daemon was there.
    let machine = in_time(firecracker.start(&spec)).await.unwrap();
    machine.signal(Signal::TERM).unwrap();
    in_time(machine.wait()).await;
    drop(machine);
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    nothing_is_left(&lab, &base);

    // Refused at its start.
    let mut bad = spec.clone();
    bad.kernel.clone_from(&spec.initramfs);
    in_time(firecracker.start(&bad)).await.unwrap_err();
    nothing_is_left(&lab, &base);

    // Given up in the middle of its start: the next look at the folder removes what there is.
    let process = tokio::select! {
        started = firecracker.start(&spec) => panic!("it was to be given up: {started:?}"),
        process = until(|| lab.process("process.json")) => process,
    };
    until(|| (!process.is_alive()).then_some(())).await;
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    nothing_is_left(&lab, &base);
}

#[tokio::test]
async fn a_jail_left_over_from_a_crash_is_in_nobodys_way() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    let left = base.join("firecracker/a-test-of-vmm/root");
    fs::create_dir_all(left.join("dev/net")).unwrap();
    fs::write(left.join("firecracker"), "half of one").unwrap();
    let machine = in_time(jailed(&base).start(&spec(&lab))).await.unwrap();
    in_time(machine.kill()).await.unwrap();
    nothing_is_left(&lab, &base);
}

/// What is told, with its cause where it has one.
fn one_line(error: &vmm::VmmError) -> String {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    let told = format!("{error}{cause}");
    assert!(!told.contains('\n'), "{told}");
    told
}

#[tokio::test]
async fn a_jailer_that_gives_up_says_why_and_leaves_nothing() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    // It takes no program without this word in its name.
    let other = lab.root().join("vmm");
    let copied = Command::new("cp").arg(firecracker_binary()).arg(&other).status();
    assert!(copied.unwrap().success());
    let jailer = Jailer::new(firecracker_binary().with_file_name("jailer"), &base);
    let jailed = firecracker_at(&other).with_jailer(Some(jailer));
    let error = in_time(jailed.start(&spec(&lab))).await.unwrap_err();
    let told = one_line(&error);
    assert!(
        told.starts_with(&format!("{} ended at start: ", other.display())) && told.contains("firecracker"),
        "{told}"
    );
    assert_eq!(lab.left(), Vec::<String>::new());
    assert_eq!(names(&base.join("vmm")), Vec::<String>::new());
}

#[tokio::test]
async fn a_jailer_that_cannot_be_executed_leaves_no_jail() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    let jailer = lab.root().join("initramfs");
    fs::set_permissions(&jailer, fs::Permissions::from_mode(0o644)).unwrap();
    let jailed = firecracker_at(firecracker_binary()).with_jailer(Some(Jailer::new(jailer, &base)));
    let error = in_time(jailed.start(&spec(&lab))).await.unwrap_err();
    let told = one_line(&error);
    assert!(
        told.ends_with("could not be started: Permission denied (os error 13)"),
        "{told}"
    );
    nothing_is_left(&lab, &base);
}

#[tokio::test]
async fn what_lies_on_another_file_system_is_mounted_into_the_jail_and_unmounted() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut spec = spec(&lab);
    let image = &mut spec.drives[0].path;
    *image = elsewhere.path().join("image");
    fs::write(image, [1; 4096]).unwrap();
    let machine = in_time(jailed(&base).start(&spec)).await.unwrap();
    assert_eq!(mounts(&base), 1);
    in_time(machine.kill()).await.unwrap();
    assert_eq!(mounts(&base), 0);
    nothing_is_left(&lab, &base);
}

/// What a host is left with by machines that are gone: names of networks, mounts of namespaces, control groups of that
/// machine, descriptors of this process.
fn left_on_the_host(name: &str) -> (Vec<String>, usize, usize, usize) {
    let networks = Path::new("/run/netns");
    let networks = if networks.exists() {
        names(networks)
    } else {
        Vec::new()
    };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let namespaces = mounts.lines().filter(|line| line.starts_with("nsfs ")).count();
    let groups = control_groups(name)
        .into_iter()
        .filter(|(group, _, _)| group.exists());
    (
        networks,
        namespaces,
        groups.count(),
        names(Path::new("/proc/self/fd")).len(),
    )
}

#[tokio::test]
async fn two_hundred_jails_leave_nothing() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    let name = format!("again-{}", std::process::id());
    let spec = MachineSpec {
        id: name.clone(),
        ..spec(&lab)
    };
    let firecracker = jailed(&base);
    let cycle = async || {
        let machine = in_time(firecracker.start(&spec)).await.unwrap();
        in_time(machine.kill()).await.unwrap();
    };
    // The first begins what serves the others, too.
    cycle().await;
    let before = left_on_the_host(&name);
    for _ in 0..200 {
        cycle().await;
    }
    nothing_is_left(&lab, &base);
    assert_eq!(mounts(&base), 0);
    assert_eq!(left_on_the_host(&name), before);
}

/// As where the daemon is killed between the two.
#[tokio::test]
async fn a_jail_whose_tree_is_gone_already_leaves_no_group_and_stays_firecrackers() {
    let lab = Lab::new();
    let base = lab.root().join("jail");
    let machine = in_time(jailed(&base).start(&spec(&lab))).await.unwrap();
    let root = lab.folder.join("firecracker").read_link().unwrap();
    process::Identity::of(machine.pid())
        .unwrap()
        .open()
        .unwrap()
        .kill(Signal::KILL)
        .unwrap();
    machine.wait().await;
    drop(machine);
    let groups = || {
        let found = Command::new("find")
            .args(["/sys/fs/cgroup", "-name", "*firecracker*", "-type", "d"])
            .output();
        String::from_utf8(found.unwrap().stdout).unwrap()
    };
    let jail = root.parent().unwrap();
    for drive in ["drive0", "drive1", "kernel", "initramfs", "firecracker"] {
        // Where the drives are mounted there.
        let _ = Command::new("umount").arg(root.join(drive)).output();
    }
    fs::remove_dir_all(jail).unwrap();
    assert!(vmm::find(&lab.folder).await.unwrap().is_none());
    assert!(
        !lab.folder.join("firecracker").is_symlink(),
        "its world is gone, too"
    );
    let name = jail.file_name().unwrap().to_str().unwrap();
    assert!(!groups().contains(name), "{}", groups());
    let _ = base;
}
