//! What a guest that has broken out of its machine could take and call: a program in a VMM's place tries it, and real
//! VMMs are looked at through `/proc`.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod elf;
mod kernel;
#[path = "../../process/tests/tries/mod.rs"]
mod tries;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::{Lab, firecracker, in_time, qemu_at, run_again, until};
use nix::libc;
use vmm::{Backend, VmmError};

/// In the place of QEMU, with what it brings along in `PREFIX/lib`: this program, whose test [`try_all`] it runs.
fn fake(lab: &Lab) -> PathBuf {
    let [bin, lib] = ["bin", "lib"].map(|name| lab.root().join(name));
    for folder in [&bin, &lib] {
        fs::create_dir(folder).unwrap();
    }
    let tries = lib.join("tries");
    fs::copy(std::env::current_exe().unwrap(), &tries).unwrap();
    let path = bin.join("qemu");
    let script = format!(
        "#!/bin/sh\nexec {} --exact try_all --ignored --nocapture --test-threads=1\n",
        tries.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn number(outcome: std::io::Result<()>) -> i32 {
    outcome.map_or_else(|error| error.raw_os_error().unwrap(), |()| 0)
}

#[test]
#[ignore = "run in a VMM's place by the tests of this file"]
fn try_all() {
    tries::outlive_long_files();
    for attempt in tries::DENIED.iter().chain(tries::ALLOWED) {
        println!("tried {}: {}", attempt.0, tries::attempt(attempt));
    }
    println!("tried 16 GiB: {}", number(tries::map(16 << 30)));
    println!("tried 1 GiB: {}", number(tries::map(1 << 30)));
    // The disk is one of what was handed over.
    for length in [1_u64 << 20, 9 << 40] {
        println!("tried a disk of {length}: {:?}", tries::lengthen(length));
    }
    let threads: Vec<_> = (0..300)
        .map(|_| {
            std::thread::Builder::new()
                .stack_size(1 << 16)
                .spawn(std::thread::park)
        })
        .collect();
    println!(
        "tried 300 threads: {}",
        threads.iter().filter(|thread| thread.is_ok()).count()
    );
    std::process::exit(0);
}

fn told<'a>(text: &'a str, name: &str) -> &'a str {
    let mark = format!("tried {name}: ");
    let line = text.lines().find_map(|line| line.split_once(&mark));
    line.unwrap_or_else(|| panic!("nothing is said of {name}: {text}"))
        .1
}

async fn break_out() {
    let lab = Lab::new();
    let mut spec = lab.spec(b"never read");
    spec.drives = vec![lab.drive("layer", false)];
    let error = in_time(qemu_at(fake(&lab)).start(&spec)).await.unwrap_err();
    assert!(matches!(error, VmmError::DiedAtStart { .. }), "{error}");
    let text = String::from_utf8(vmm::vmm_log(&lab.folder).unwrap()).unwrap();
    for (name, _, _, error) in tries::DENIED {
        assert_eq!(told(&text, name), error.to_string(), "{name}");
    }
    assert_eq!(told(&text, "1 GiB"), "0");
    assert_eq!(told(&text, "16 GiB"), libc::ENOMEM.to_string());
    assert_eq!(told(&text, "a disk of 1048576"), "[0]");
    let too_long = format!("a disk of {}", model::DiskSize::LARGEST + (1 << 40));
    assert_eq!(told(&text, &too_long), format!("[{}]", libc::EFBIG));
    let threads: usize = told(&text, "300 threads").parse().unwrap();
    assert!((64..=97).contains(&threads), "{threads}");
}

#[tokio::test]
async fn a_vmm_that_was_broken_into_takes_little_and_calls_nothing_that_it_does_not_need() {
    break_out().await;
}

#[tokio::test]
#[ignore = "run by a_plain_users_vmm_is_limited_as_well"]
async fn by_a_plain_user() {
    break_out().await;
}

#[test]
fn a_plain_users_vmm_is_limited_as_well() {
    let how = if rustix::process::getuid().is_root() {
        "exec setpriv --reuid 61000 --regid 61000 --clear-groups \"$@\""
    } else {
        "exec \"$@\""
    };
    run_again(&["/bin/sh"], how, "by_a_plain_user");
}

/// Where no user namespace is to be had, and so no confinement.
#[tokio::test]
#[ignore = "run by limits_and_filters_need_no_user_namespaces"]
async fn without_namespaces() {
    let lab = Lab::new();
    let mut spec = lab.spec(b"never read");
    spec.drives = vec![lab.drive("layer", false)];
    let allowed = qemu_at(fake(&lab)).with_confinement(vmm::Confine::WherePossible);
    in_time(allowed.start(&spec)).await.unwrap_err();
    let text = String::from_utf8(vmm::vmm_log(&lab.folder).unwrap()).unwrap();
    for (name, _, _, error) in tries::DENIED {
        assert_eq!(told(&text, name), error.to_string(), "{name}");
    }
    assert_eq!(told(&text, "16 GiB"), libc::ENOMEM.to_string());
    // By user they would be counted over all that the user runs. A control group needs no namespace.
    let threads: usize = told(&text, "300 threads").parse().unwrap();
    assert_eq!(threads < 300, vmm::groups::outlook().is_ok(), "{threads}");
}

fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap().trim().to_owned()
}

/// The hard limit of that name.
fn limit(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

/// How many filters the VMM is under that it did not put on by itself.
const OURS: usize = 5;

#[tokio::test]
async fn a_real_qemu_runs_under_its_limits_with_room_to_spare() {
    let lab = Lab::new();
    let mut spec = lab.spec(&kernel::kernel("hello", kernel::Then::Halt));
    spec.drives = vec![lab.drive("image", true), lab.drive("layer", false)];
    spec.vcpu = 4;
    let machine = qemu_at("/usr/bin/qemu-system-x86_64").start(&spec).await.unwrap();
    let pid = machine.pid();
    until(|| (vmm::console_log(&lab.folder).ok()? == b"hello").then_some(())).await;
    let most: u64 = limit(pid, "Max address space").parse().unwrap();
    assert_eq!(most >> 20, 64 + 1024 + 2048 + 4 * 16);
    let used: u64 = status(pid, "VmPeak")
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap();
    assert!(used << 10 < most - (1 << 30), "{used} KiB of {most}");
    assert_eq!(limit(pid, "Max file size"), model::DiskSize::LARGEST.to_string());
    assert_eq!(limit(pid, "Max processes"), "100");
    assert_eq!(limit(pid, "Max core file size"), "1");
    let filters: usize = status(pid, "Seccomp_filters").parse().unwrap();
    assert!(filters > OURS, "{filters}");
    no_folder_leads_up(pid);
    no_folder_leads_up(keeper_of(std::process::id()).unwrap());
    in_time(machine.kill()).await.unwrap();
}

#[tokio::test]
async fn a_real_firecracker_runs_under_its_limits_with_room_to_spare() {
    let lab = Lab::new();
    let spec = lab.spec(&elf::waiting_kernel());
    let machine = in_time(firecracker().start(&spec)).await.unwrap();
    let pid = machine.pid();
    let most: u64 = limit(pid, "Max address space").parse().unwrap();
    assert_eq!(most >> 20, 64 + 1024 + 16);
    let used: u64 = status(pid, "VmPeak")
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap();
    assert!(used << 10 < most - (512 << 20), "{used} KiB of {most}");
    assert_eq!(limit(pid, "Max processes"), "17");
    let filters: usize = status(pid, "Seccomp_filters").parse().unwrap();
    assert!(filters > OURS, "{filters}");
    no_folder_leads_up(pid);
    no_folder_leads_up(keeper_of(std::process::id()).unwrap());
    in_time(machine.kill()).await.unwrap();
}

/// In a user namespace, whose own limit is no matter for the host.
#[test]
fn limits_and_filters_need_no_user_namespaces() {
    let how = "exec unshare --user --map-root-user sh -euc 'echo 0 > /proc/sys/user/max_user_namespaces; \
               exec setpriv --bounding-set -all \"$@\"' sh \"$@\"";
    run_again(&["/bin/sh"], how, "without_namespaces");
}

/// From a folder of the host that is open, a way leads up to all others, whatever a process has for its root.
fn no_folder_leads_up(pid: u32) {
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let up = descriptor.unwrap().path().join("../".repeat(20));
        assert!(!up.join("etc/passwd").exists(), "{}", up.display());
    }
}

fn keeper_of(this: u32) -> Option<u32> {
    let mut children = String::new();
    for thread in fs::read_dir(format!("/proc/{this}/task")).unwrap() {
        children += &fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
    }
    let asked = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.find(|&pid| asked(pid).contains("vm-log-keeper"))
}

#[tokio::test]
async fn the_keeper_of_logs_sees_no_file_of_the_host_and_has_no_rights() {
    let lab = Lab::new();
    in_time(qemu_at("/bin/true").start(&lab.spec(b"never read")))
        .await
        .unwrap_err();
    let keeper = keeper_of(std::process::id()).unwrap();
    assert_eq!(status(keeper, "CapEff"), "0000000000000000");
    assert_eq!(status(keeper, "Seccomp"), "2");
    assert_eq!(status(keeper, "NoNewPrivs"), "1");
    let root = Path::new("/proc").join(keeper.to_string()).join("root");
    for hidden in [
        "home",
        "root",
        "proc",
        "sys",
        "run",
        "tmp",
        "var",
        "dev",
        "etc/passwd",
    ] {
        assert!(!root.join(hidden).exists(), "{hidden}");
    }
    assert_eq!(limit(keeper, "Max file size"), (1 << 20).to_string());
}
