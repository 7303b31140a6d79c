//! What a start spawns, as `strace -f` sees it: the VMM, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod elf;
mod inner;
mod kernel;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use common::{Lab, firecracker_at, firecracker_binary, in_time, qemu_at};
use elf::waiting_kernel;
use kernel::{Then, kernel};
use vmm::firecracker::Jailer;
use vmm::{Backend, MachineSpec};

/// What the process under `strace` says of itself, by changing to a folder that is not there.
const BEGIN: &str = "/nowhere/the start begins";
const END: &str = "/nowhere/the machine runs";

fn spec(lab: &Lab, kernel: &[u8]) -> MachineSpec {
    MachineSpec {
        drives: vec![lab.drive("image", true), lab.drive("layer", false)],
        ..lab.spec(kernel)
    }
}

/// Starts a machine twice: the first start of a process begins the keeper of the logs as well.
async fn start_twice(backend: Arc<dyn Backend>, kernel: &[u8]) {
    let lab = Lab::new();
    let spec = spec(&lab, kernel);
    let first = in_time(backend.start(&spec)).await.unwrap();
    in_time(first.kill()).await.unwrap();
    rustix::process::chdir(BEGIN).unwrap_err();
    let second = in_time(backend.start(&spec)).await.unwrap();
    rustix::process::chdir(END).unwrap_err();
    in_time(second.kill()).await.unwrap();
}

#[tokio::test]
#[ignore = "run by the tests of this file"]
async fn by_firecracker() {
    start_twice(Arc::new(firecracker_at(firecracker_binary())), &waiting_kernel()).await;
}

#[tokio::test]
#[ignore = "run by the tests of this file"]
async fn by_the_jailer() {
    let firecracker = firecracker_binary();
    let jailer = Jailer::new(firecracker.with_file_name("jailer"), inner::folder().join("jail"));
    let jailed = firecracker_at(&firecracker).with_jailer(Some(jailer));
    start_twice(Arc::new(jailed), &waiting_kernel()).await;
}

#[tokio::test]
#[ignore = "run by the tests of this file"]
async fn by_qemu() {
    let qemu = qemu_at("/usr/bin/qemu-system-x86_64");
    start_twice(Arc::new(qemu), &kernel("", Then::Halt)).await;
}

/// What a start did.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Programs, in the order in which they were executed.
    executed: Vec<String>,
    /// New processes; a thread is none.
    processes: usize,
}

/// Reads what `strace` wrote between the two marks.
fn seen(trace: &str) -> Seen {
    let mut seen = Seen::default();
    let lines = trace.lines().skip_while(|line| !line.contains(BEGIN));
    for line in lines.take_while(|line| !line.contains(END)) {
        let call = line.trim_start_matches(|character: char| character.is_ascii_digit() || character == ' ');
        if let Some(arguments) = call.strip_prefix("execve(") {
            let program = arguments.split('"').nth(1).unwrap();
            let name = Path::new(program).file_name().unwrap();
            seen.executed.push(name.to_str().unwrap().to_owned());
        }
        let begins = ["clone(", "clone3(", "fork(", "vfork("]
            .iter()
            .any(|name| call.starts_with(name));
        if begins && !call.contains("CLONE_THREAD") {
            seen.processes += 1;
        }
    }
    assert!(trace.contains(BEGIN) && trace.contains(END), "{trace}");
    seen
}

/// Runs a test of this file under `strace`.
fn trace(test: &str) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    let before = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=execve,execveat,clone,clone3,fork,vfork,chdir",
        "-o",
        file.to_str().unwrap(),
    ];
    let output = inner::inner(&before, test, folder.path())
        .output()
        .expect("strace is not there: run scripts/setup test");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut text = String::new();
    fs::File::open(&file).unwrap().read_to_string(&mut text).unwrap();
    seen(&text)
}

#[test]
fn a_start_of_firecracker_spawns_firecracker_and_nothing_else() {
    let expected = Seen {
        executed: vec!["firecracker".into()],
        processes: 1,
    };
    assert_eq!(trace("by_firecracker"), expected);
}

/// The jailer becomes Firecracker: one process, two programs.
#[test]
fn a_start_in_a_jail_spawns_the_jailer_and_nothing_else() {
    assert!(rustix::process::geteuid().is_root(), "the jailer needs root");
    let expected = Seen {
        executed: vec!["jailer".into(), "firecracker".into()],
        processes: 1,
    };
    assert_eq!(trace("by_the_jailer"), expected);
}

#[test]
fn a_start_of_qemu_spawns_qemu_and_nothing_else() {
    let expected = Seen {
        executed: vec!["qemu-system-x86_64".into()],
        processes: 1,
    };
    assert_eq!(trace("by_qemu"), expected);
}

#[test]
fn threads_are_no_processes_and_what_another_does_meanwhile_counts() {
    let trace = format!(
        "1 execve(\"/bin/early\", ...) = 0\n1 chdir(\"{BEGIN}\") = -1 ENOENT\n\
         1 clone3({{flags=CLONE_VM|CLONE_THREAD, ...}}) = 2\n2 clone(child_stack=NULL, flags=SIGCHLD) = 3\n\
         3     execve(\"/bin/one\", ...) = 0\n2 vfork() = 4\n1 chdir(\"{END}\") = -1 ENOENT\n2 fork() = 5\n"
    );
    let expected = Seen {
        executed: vec!["one".into()],
        processes: 2,
    };
    assert_eq!(seen(&trace), expected);
}
