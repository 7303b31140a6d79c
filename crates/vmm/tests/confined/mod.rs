//! A confined QEMU, looked at through `/proc`: started by root, by a plain user, and where that is refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vmm::qemu::Acceleration;
use vmm::{Backend, Confine, Drive, MachineSpec, NetworkDevice, RateLimit, VmmError};

use crate::common::{Lab, acceleration, in_time, run_again};
use crate::kernel::{Then, kernel};
use crate::{console, qemu};

fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap().trim().replace('\t', " ")
}

fn namespace(of: &str, kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/{of}/ns/{kind}")).unwrap()
}

/// What each descriptor of a process is.
fn descriptors(pid: u32) -> BTreeMap<i32, String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(Result::unwrap);
    let number = |entry: &fs::DirEntry| entry.file_name().to_str().unwrap().parse().unwrap();
    entries
        .map(|entry| {
            (
                number(&entry),
                fs::read_link(entry.path()).unwrap().display().to_string(),
            )
        })
        .collect()
}

/// A machine with an image, a layer and a network, whose files nobody but their owner may read.
fn closed_spec(lab: &Lab) -> MachineSpec {
    let mut spec = lab.spec(&kernel("hello", Then::Halt));
    for (name, read_only) in [("image", true), ("layer", false)] {
        let path = lab.root().join(name);
        fs::write(&path, [1; 4096]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        spec.drives.push(Drive {
            path,
            read_only,
            limit: RateLimit::default(),
        });
    }
    for path in [&spec.kernel, &spec.initramfs] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    spec
}

async fn look_at_a_confined_qemu() {
    let lab = Lab::new();
    let machine = qemu().start(&closed_spec(&lab)).await.unwrap();
    let pid = machine.pid();
    assert_eq!(lab.process("process.json").unwrap().pid, pid);

    for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(pid, key), "0000000000000000", "{key}");
    }
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!(status(pid, "Seccomp"), "2");
    assert!(status(pid, "NSpid").ends_with(" 1"));
    if rustix::process::getuid().is_root() {
        assert!(!status(pid, "Uid").contains(" 0"), "{}", status(pid, "Uid"));
        assert!(!status(pid, "Uid").starts_with('0'), "{}", status(pid, "Uid"));
    }
    for kind in ["user", "mnt", "pid", "ipc", "uts", "net"] {
        assert_ne!(
            namespace(&pid.to_string(), kind),
            namespace("self", kind),
            "{kind}"
        );
    }

    let root = PathBuf::from(format!("/proc/{pid}/root"));
    for hidden in ["home", "root", "proc", "sys", "run", "tmp", "var", "etc/passwd"] {
        assert!(!root.join(hidden).exists(), "{hidden}");
    }
    let below = lab.root().strip_prefix("/").unwrap();
    assert!(!root.join(below).exists());
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let writable = mounts
        .lines()
        .filter(|line| !line.split(' ').nth(5).unwrap().starts_with("ro"));
    let writable: Vec<_> = writable.map(|line| line.split(' ').nth(4).unwrap()).collect();
    assert_eq!(writable, Vec::<&str>::new());

    let open = descriptors(pid);
    let of_the_host: Vec<_> = open.values().filter(|what| what.starts_with('/')).collect();
    let expected = ["image", "layer"].map(|name| lab.root().join(name));
    let devices = match acceleration() {
        Acceleration::Kvm => &["/dev/null", "/dev/kvm"][..],
        Acceleration::Tcg => &["/dev/null"],
    };
    for what in of_the_host {
        let known = devices.contains(&what.as_str()) || expected.iter().any(|path| path == Path::new(what));
        assert!(known, "{open:?}");
    }
    assert_eq!(console(&lab, |text| text.len() >= 5).await, "hello");
    in_time(machine.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
async fn qemu_sees_nothing_of_the_host_and_has_no_rights() {
    look_at_a_confined_qemu().await;
}

#[tokio::test]
#[ignore = "run by a_plain_user_confines_qemu_as_well"]
async fn by_a_plain_user() {
    look_at_a_confined_qemu().await;
}

#[tokio::test]
#[ignore = "run by where_user_namespaces_are_refused_no_qemu_runs_unless_that_is_configured"]
async fn without_namespaces() {
    let refusal = vmm::qemu::confinable().unwrap_err();
    assert_eq!(
        refusal.reason(),
        "cannot make namespaces: No space left on device (os error 28)"
    );
    let lab = Lab::new();
    let spec = closed_spec(&lab);
    let error = qemu().start(&spec).await.unwrap_err();
    assert!(matches!(error, VmmError::Confine { .. }), "{error}");
    assert_eq!(lab.left(), Vec::<String>::new(), "nothing of it ran");
    let allowed = qemu().with_confinement(Confine::WherePossible);
    let machine = allowed.start(&spec).await.unwrap();
    assert_eq!(
        namespace(&machine.pid().to_string(), "mnt"),
        namespace("self", "mnt")
    );
    assert_eq!(console(&lab, |text| text.len() >= 5).await, "hello");
    in_time(machine.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[test]
fn a_plain_user_confines_qemu_as_well() {
    let how = if rustix::process::getuid().is_root() {
        "exec setpriv --reuid 61000 --regid 61000 --clear-groups \"$@\""
    } else {
        "exec \"$@\""
    };
    run_again(&["/bin/sh"], how, "confined::by_a_plain_user");
}

/// In a user namespace, whose own limit is no matter for the host.
#[test]
fn where_user_namespaces_are_refused_no_qemu_runs_unless_that_is_configured() {
    let how = "exec unshare --user --map-root-user sh -euc 'echo 0 > /proc/sys/user/max_user_namespaces; \
               exec setpriv --bounding-set -all \"$@\"' sh \"$@\"";
    run_again(&["/bin/sh"], how, "confined::without_namespaces");
}

#[tokio::test]
#[ignore = "run by root_confines_qemu_without_user_namespaces"]
async fn by_root_without_namespaces() {
    vmm::qemu::confinable().unwrap();
    let lab = Lab::new();
    let machine = qemu().start(&closed_spec(&lab)).await.unwrap();
    let pid = machine.pid();
    assert_eq!(status(pid, "CapEff"), "0000000000000000");
    assert_ne!(namespace(&pid.to_string(), "mnt"), namespace("self", "mnt"));
    assert_ne!(namespace(&pid.to_string(), "net"), namespace("self", "net"));
    in_time(machine.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// Root's rights do what a user namespace is for: the wall is not missing.
#[test]
fn root_confines_qemu_without_user_namespaces() {
    let how = "exec unshare --user --map-root-user sh -euc 'echo 0 > /proc/sys/user/max_user_namespaces; \
               exec \"$@\"' sh \"$@\"";
    run_again(&["/bin/sh"], how, "confined::by_root_without_namespaces");
}

#[tokio::test]
async fn for_what_is_no_refusal_of_the_hosts_no_qemu_runs_unconfined_or_as_root() {
    if !rustix::process::getuid().is_root() {
        println!("only root has files that a VMM of nobody's cannot read");
        return;
    }
    let lab = Lab::new();
    let spec = closed_spec(&lab);
    let own = PermissionsExt::from_mode(0o600);
    fs::set_permissions(&spec.kernel, own).unwrap();
    for confine in [Confine::Required, Confine::WherePossible] {
        let error = qemu().with_confinement(confine).start(&spec).await.unwrap_err();
        let VmmError::Confine { source, .. } = error else {
            panic!("{confine:?}: {error}");
        };
        let reason = source.reason();
        assert!(
            reason.contains(&spec.kernel.display().to_string()) && reason.contains("its owner alone"),
            "{reason}"
        );
        assert_eq!(lab.left(), Vec::<String>::new(), "nothing of it ran");
    }
}

#[tokio::test]
async fn the_built_in_network_is_the_hosts() {
    let lab = Lab::new();
    let mac = "52:54:00:12:34:56".into();
    let spec = MachineSpec {
        network: Some(NetworkDevice::BuiltIn { mac }),
        ..closed_spec(&lab)
    };
    let machine = qemu().start(&spec).await.unwrap();
    let pid = machine.pid().to_string();
    assert_eq!(namespace(&pid, "net"), namespace("self", "net"));
    assert_ne!(namespace(&pid, "mnt"), namespace("self", "mnt"));
    in_time(machine.kill()).await.unwrap();
}
