//! Limits and filters of system calls, looked at from within: a program tries what one that was broken into would.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod tries;

use std::fs::{self, File};
use std::io::{self, Read};
use std::process::Command;
use std::time::Duration;

use nix::libc;
use process::{Call, Confinement, Ending, Group, Kind, Launch, Limits, SystemCalls};
use rustix::process::getuid;
use tempfile::TempDir;

const GIB: u64 = 1 << 30;

/// Whether the program that tries is confined as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confined {
    Yes,
    No,
}

/// Runs an ignored test of this file under what `how` adds; gives its end and what it wrote.
async fn run(test: &str, confined: Confined, how: impl FnOnce(&mut Launch)) -> (Ending, String) {
    let folder = tempfile::tempdir().unwrap();
    let own = std::env::current_exe().unwrap();
    let record = folder.path().join("process.json");
    let mut launch = Launch::of_opened(File::open(own).unwrap().into(), "/tries", folder.path(), record);
    launch.arguments(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    if confined == Confined::Yes {
        let mut confinement = Confinement::new(7);
        confinement
            .show_programs()
            .scratch("/tmp", 1 << 20)
            .device("/dev/null");
        launch.confine(confinement);
    }
    how(&mut launch);
    output_of(launch, folder).await
}

async fn output_of(mut launch: Launch, _folder: TempDir) -> (Ending, String) {
    let (mut reader, writer) = io::pipe().unwrap();
    launch.output(writer.into());
    let handle = launch.start().await.unwrap().keep();
    let read = move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    };
    let text = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    (handle.wait().await.unwrap(), text)
}

/// The error of each attempt, by its name.
fn told<'a>(text: &'a str, name: &str) -> &'a str {
    let mark = format!("tried {name}: ");
    let line = text.lines().find_map(|line| line.split_once(&mark));
    line.unwrap_or_else(|| panic!("nothing is said of {name}: {text}"))
        .1
}

#[test]
#[ignore = "run by the tests of this file"]
fn try_calls() {
    for attempt in tries::DENIED.iter().chain(tries::ALLOWED) {
        println!("\ntried {}: {}", attempt.0, tries::attempt(attempt));
    }
}

async fn every_kind_is_denied() {
    for confined in [Confined::Yes, Confined::No] {
        let filter = |launch: &mut Launch| {
            launch.filter(SystemCalls::deny(&Kind::OF_VMM));
        };
        let (ending, text) = run("try_calls", confined, filter).await;
        assert_eq!(ending, Ending::Exited(0), "{text}");
        for (name, _, _, error) in tries::DENIED {
            assert_eq!(told(&text, name), error.to_string(), "{name}, {confined:?}");
        }
        for (name, ..) in tries::ALLOWED {
            assert_eq!(told(&text, name), "0", "{name}, {confined:?}");
        }
    }
}

#[tokio::test]
async fn what_a_program_does_not_need_of_the_kernel_fails_and_the_program_goes_on() {
    every_kind_is_denied().await;
}

#[tokio::test]
#[ignore = "run by a_plain_user_filters_as_well"]
async fn denied_by_a_plain_user() {
    every_kind_is_denied().await;
    every_limit_holds().await;
}

#[test]
fn a_plain_user_filters_as_well() {
    let how = if getuid().is_root() {
        "exec setpriv --reuid 61000 --regid 61000 --clear-groups \"$@\""
    } else {
        "exec \"$@\""
    };
    let output = Command::new("/bin/sh")
        .args(["-euc", how, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "denied_by_a_plain_user", "--ignored", "--nocapture"])
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Or the test above would hold without a filter.
#[tokio::test]
async fn without_a_filter_none_of_it_fails_that_way() {
    let (_, text) = run("try_calls", Confined::No, |_| ()).await;
    for name in [
        "AF_NETLINK",
        "ptrace",
        "io_uring_setup",
        "unshare",
        "process_vm_readv",
        "shmget",
        "msgget",
    ] {
        let (_, _, _, error) = tries::DENIED.iter().find(|attempt| attempt.0 == name).unwrap();
        assert_ne!(told(&text, name), error.to_string(), "{name}");
    }
}

#[tokio::test]
async fn kinds_are_denied_one_by_one() {
    let filter = |launch: &mut Launch| {
        launch.filter(SystemCalls::deny(&[Kind::Sockets]));
    };
    let (_, text) = run("try_calls", Confined::No, filter).await;
    assert_eq!(told(&text, "AF_NETLINK"), libc::EAFNOSUPPORT.to_string());
    assert_eq!(told(&text, "ptrace"), libc::ESRCH.to_string());
}

#[test]
#[ignore = "run by the tests of this file"]
fn open_a_socket_once_that_is_not_allowed_any_more() {
    // A thread that is there, and calls nothing from then on.
    let (running, runs) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        running.send(()).unwrap();
        loop {
            std::hint::spin_loop();
        }
    });
    runs.recv().unwrap();
    let few = [
        libc::SYS_write,
        libc::SYS_getpid,
        libc::SYS_exit_group,
        libc::SYS_mmap,
        libc::SYS_brk,
    ];
    let unix = Call::from(libc::SYS_socket).with(0, 1);
    SystemCalls::allow(few.map(Call::from).into_iter().chain([unix]))
        .unwrap()
        .enforce()
        .unwrap();
    let of = |name| tries::ALLOWED.iter().find(|attempt| attempt.0 == name).unwrap();
    println!("\ntried AF_UNIX: {}", tries::attempt(of("AF_UNIX")));
    println!("\ntried getpid: {}", tries::attempt(of("getpid")));
    println!("\ntried AF_INET: {}", tries::attempt(of("AF_INET")));
}

#[tokio::test]
async fn a_call_that_is_not_on_a_list_of_what_is_allowed_ends_the_process_with_all_its_threads() {
    let test = "open_a_socket_once_that_is_not_allowed_any_more";
    let (ending, text) = run(test, Confined::Yes, |_| ()).await;
    assert_eq!(ending, Ending::Signalled(libc::SIGSYS), "{text}");
    assert_eq!(told(&text, "AF_UNIX"), "0");
    assert_eq!(told(&text, "getpid"), "0");
    assert!(!text.contains("AF_INET"), "{text}");
}

#[tokio::test]
async fn a_list_of_what_is_allowed_holds_from_the_first_instruction_on() {
    let start = async |calls: &[std::ffi::c_long]| {
        let folder = tempfile::tempdir().unwrap();
        let mut launch = Launch::new("/bin/true", folder.path(), folder.path().join("process.json"));
        launch.filter(SystemCalls::allow(calls.iter().copied()).unwrap());
        output_of(launch, folder).await.0
    };
    let killed = Ending::Signalled(libc::SIGSYS);
    assert_eq!(start(&[]).await, killed);
    assert_eq!(start(&[libc::SYS_execve]).await, killed);
    let loader = [
        libc::SYS_execve,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_openat,
        libc::SYS_faccessat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_access,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_arch_prctl,
        libc::SYS_newfstatat,
        libc::SYS_fstat,
        libc::SYS_read,
        libc::SYS_pread64,
        libc::SYS_close,
        libc::SYS_set_tid_address,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_prlimit64,
        libc::SYS_getrandom,
        libc::SYS_exit_group,
    ];
    assert_eq!(start(&loader).await, Ending::Exited(0));
}

#[test]
#[ignore = "run by the tests of this file"]
fn take_much() {
    tries::outlive_long_files();
    let error = |outcome: io::Result<()>| match outcome {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap(),
    };
    println!("\ntried 16 GiB: {}", error(tries::map(16 << 30)));
    let file = tempfile::tempfile_in("/tmp").unwrap();
    println!("\ntried a file of 1 GiB: {}", error(file.set_len(GIB)));
    println!("\ntried a file of 1 TiB: {}", error(file.set_len(1 << 40)));
    println!("\ntried a file of 1 TiB by its last byte: {}", {
        use std::os::unix::fs::FileExt;
        error(file.write_all_at(b"x", (1 << 40) - 1))
    });
    let many: io::Result<Vec<File>> = (0..200).map(|_| File::open("/dev/null")).collect();
    println!("\ntried 200 files: {}", error(many.map(drop)));
    let threads: io::Result<Vec<_>> = (0..100)
        .map(|_| {
            std::thread::Builder::new()
                .stack_size(1 << 16)
                .spawn(std::thread::park)
        })
        .collect();
    println!("\ntried 100 threads: {}", error(threads.map(drop)));
    use rustix::process::{Resource, getrlimit};
    let core = getrlimit(Resource::Core).maximum;
    println!("\ntried a core: {core:?}");
    let more = getrlimit(Resource::Nofile);
    let raised = rustix::process::setrlimit(
        Resource::Nofile,
        rustix::process::Rlimit {
            current: more.maximum.map(|most| most + 1),
            maximum: more.maximum.map(|most| most + 1),
        },
    );
    println!(
        "\ntried more files: {}",
        raised.map_or_else(|error| error.raw_os_error(), |()| 0)
    );
}

async fn every_limit_holds() {
    let limits = Limits {
        address_space: Some(8 * GIB),
        file_size: Some(16 * GIB),
        open_files: Some(100),
        processes: Some(50),
        ..Limits::default()
    };
    let (ending, text) = run("take_much", Confined::Yes, |launch| {
        launch.limit(limits);
    })
    .await;
    assert_eq!(ending, Ending::Exited(0), "{text}");
    let expected = [
        ("16 GiB", libc::ENOMEM),
        ("a file of 1 GiB", 0),
        ("a file of 1 TiB", libc::EFBIG),
        ("a file of 1 TiB by its last byte", libc::EFBIG),
        ("200 files", libc::EMFILE),
        ("100 threads", libc::EAGAIN),
        ("more files", libc::EPERM),
    ];
    for (name, error) in expected {
        assert_eq!(told(&text, name), error.to_string(), "{name}");
    }
    assert_eq!(told(&text, "a core"), "Some(1)");
}

#[tokio::test]
async fn a_program_takes_no_more_than_its_limits_and_raises_none() {
    every_limit_holds().await;
}

/// Or the test above would hold without limits.
#[tokio::test]
async fn without_limits_all_of_it_is_granted_but_a_core() {
    let (ending, text) = run("take_much", Confined::Yes, |_| ()).await;
    assert_eq!(ending, Ending::Exited(0), "{text}");
    for name in ["16 GiB", "a file of 1 TiB", "200 files", "100 threads"] {
        assert_eq!(told(&text, name), "0", "{name}");
    }
    assert_eq!(told(&text, "a core"), "Some(1)");
}

#[test]
#[ignore = "run by the tests of this file"]
fn never_end() {
    loop {
        std::hint::black_box(fs::exists("/nowhere").ok());
    }
}

#[tokio::test]
async fn a_program_that_never_ends_has_so_much_time_on_a_processor() {
    let limits = Limits {
        cpu: Some(Duration::from_millis(500)),
        ..Limits::default()
    };
    let (ending, text) = run("never_end", Confined::No, |launch| {
        launch.limit(limits);
    })
    .await;
    assert_eq!(ending, Ending::Signalled(libc::SIGXCPU), "{text}");
}

/// The hierarchy of the second version, which may count nothing here.
fn hierarchy() -> std::path::PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let place = fields.find_map(|fields| (fields[2] == "cgroup2").then(|| fields[1].into()));
    place.expect("no control groups of version 2 are mounted here")
}

async fn born_in(group: File, confined: Confined) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut launch = Launch::new("/bin/sleep", folder.path(), folder.path().join("process.json"));
    launch.argument("1000").group(Group::unified(group.into()));
    if confined == Confined::Yes {
        let mut confinement = Confinement::new(7);
        confinement.show_programs();
        launch.confine(confinement);
    }
    let started = launch.start().await.unwrap();
    let pid = started.handle().identity().pid;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let refused = started.refused_group().is_some();
    let handle = started.keep();
    handle.kill(process::Signal::KILL).unwrap();
    handle.wait().await.unwrap();
    (groups, refused)
}

#[tokio::test]
async fn a_program_is_born_in_its_control_group_or_runs_without() {
    let name = format!("banger-test-{}", std::process::id());
    let group = hierarchy().join(&name);
    for confined in [Confined::Yes, Confined::No] {
        if getuid().is_root() {
            fs::create_dir(&group).unwrap();
            let (groups, refused) = born_in(File::open(&group).unwrap(), confined).await;
            // The last process leaves it a moment after its end.
            while fs::remove_dir(&group).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(groups.contains(&name), "{groups}");
            assert!(!refused);
        }
        // What is no group at all.
        let (groups, refused) = born_in(File::open("/").unwrap(), confined).await;
        assert!(refused && !groups.contains(&name), "{groups}");
    }
}
