//! Real processes: started apart, recorded first, reaped, found again.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as well")]

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use process::{Ending, Identity, Launch, ProcessError, Signal, read_record};
use tempfile::TempDir;

/// A folder for one program, and what is needed to see what it does.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join("process.json")
    }

    fn launch(&self, program: &str, arguments: &[&str]) -> Launch {
        let mut launch = Launch::new(program, self.folder.path(), self.record());
        launch.arguments(arguments);
        launch
    }

    /// Runs it to its end; gives what it wrote.
    async fn output_of(&self, mut launch: Launch) -> (Ending, String) {
        let (mut reader, writer) = io::pipe().unwrap();
        launch.output(writer.into());
        let handle = launch.start().await.unwrap().keep();
        let text = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        (handle.wait().await.unwrap(), text.await.unwrap())
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.folder.path()).unwrap().next().is_none()
    }
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn the_record_is_there_before_the_program_runs() {
    let place = Place::new();
    let (ending, text) = place.output_of(place.launch("/bin/cat", &["process.json"])).await;
    assert_eq!(ending, Ending::Exited(0));
    let recorded: Identity = serde_json::from_str(&text).unwrap();
    assert_eq!(read_record(&place.record()).unwrap(), Some(recorded));
}

#[tokio::test]
async fn an_ended_child_is_reaped_and_tells_how_it_ended() {
    let place = Place::new();
    for (script, expected) in [
        ("exit 42", Ending::Exited(42)),
        ("kill -9 $$", Ending::Signalled(9)),
        ("exit 0", Ending::Exited(0)),
    ] {
        let handle = place
            .launch("/bin/sh", &["-c", script])
            .start()
            .await
            .unwrap()
            .keep();
        assert_eq!(handle.wait().await.unwrap(), expected);
        assert_eq!(
            handle.wait().await.unwrap(),
            expected,
            "a second wait says the same"
        );
        assert!(!exists(handle.identity().pid), "no zombie is left");
        assert!(!handle.identity().is_alive());
        handle.kill(Signal::KILL).expect("killing what has ended is fine");
    }
}

#[tokio::test]
async fn only_listed_descriptors_and_variables_are_handed_over() {
    let place = Place::new();
    let leaked = rustix::io::dup(fs::File::open("/dev/zero").unwrap()).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let mut launch = place.launch("/bin/ls", &["/proc/self/fd"]);
    let number = launch.pass(fs::File::open("/dev/zero").unwrap().into());
    launch.variable("LANG", "C");
    let (_, text) = place.output_of(launch).await;
    let mut numbers: Vec<i32> = text.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    // `ls` has the folder that it lists open as well.
    numbers.retain(|&found| found != 3 || number == 3);
    assert_eq!(numbers, [0, 1, 2, number]);

    let mut launch = place.launch("/usr/bin/env", &[]);
    launch.variable("LANG", "C");
    assert_eq!(place.output_of(launch).await.1, "LANG=C\n");
}

#[tokio::test]
async fn signals_session_and_input_are_fresh() {
    let place = Place::new();
    let script = "cat; grep -E '^Sig(Blk|Ign)' /proc/self/status; umask; pwd; \
                  set -- $(cat /proc/$$/stat); echo $$ $5 $6 $7";
    let (ending, text) = place.output_of(place.launch("/bin/sh", &["-c", script])).await;
    assert_eq!(ending, Ending::Exited(0));
    let zeros = "0000000000000000";
    let mut lines = text.lines();
    for name in ["SigBlk", "SigIgn"] {
        assert_eq!(lines.next().unwrap(), format!("{name}:\t{zeros}"));
    }
    assert_eq!(lines.next(), Some("0077"));
    let folder = place.folder.path().canonicalize().unwrap();
    assert_eq!(lines.next(), folder.to_str());
    let ids: Vec<i64> = lines
        .next()
        .unwrap()
        .split(' ')
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(
        ids,
        [ids[0], ids[0], ids[0], 0],
        "own group, own session, no terminal"
    );
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_leaves_nothing() {
    let place = Place::new();
    for program in ["/nowhere/at-all", "/etc/passwd", "/"] {
        let error = place.launch(program, &[]).start().await.unwrap_err();
        assert!(matches!(error, ProcessError::Execute { .. }), "{error:?}");
        assert!(place.is_empty());
    }
    let error = place.launch("/bin/true", &["a\0b"]).start().await.unwrap_err();
    assert!(matches!(error, ProcessError::ZeroByte { .. }));
    let error = Launch::new("/bin/true", "/nowhere", place.record())
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, ProcessError::Fork { .. }));
    assert!(place.is_empty());
}

#[tokio::test]
async fn a_record_that_cannot_be_written_means_no_program() {
    let place = Place::new();
    let made = place.folder.path().join("made");
    let mut launch = Launch::new(
        "/bin/touch",
        place.folder.path(),
        place.folder.path().join("no/process.json"),
    );
    launch.argument(&made);
    assert!(matches!(launch.start().await, Err(ProcessError::Record { .. })));
    assert!(place.is_empty());
}

#[tokio::test]
async fn a_started_program_that_is_not_kept_ends_with_its_record() {
    let place = Place::new();
    let started = place.launch("/bin/sleep", &["1000"]).start().await.unwrap();
    let watcher = started.handle().identity().open().unwrap();
    assert_eq!(
        read_record(&place.record()).unwrap().as_ref(),
        Some(started.handle().identity())
    );
    drop(started);
    assert!(place.is_empty());
    watcher.wait().await.unwrap();
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing() {
    let place = Place::new();
    for polls in 0..3 {
        let mut start = Box::pin(place.launch("/bin/sleep", &["1000"]).start());
        for _ in 0..=polls {
            tokio::select! { biased; _ = &mut start => break, () = tokio::task::yield_now() => {} }
        }
        drop(start);
    }
    // The program may be about to start on another thread; that thread ends it.
    while !place.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn somebody_elses_child_can_be_waited_for_and_killed() {
    let place = Place::new();
    let mut parent = Command::new("/bin/sh");
    parent
        .args(["-c", "sleep 1000 & echo $!; wait; exit 0"])
        .stdout(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let mut pid = Vec::new();
    let mut stdout = parent.stdout.take().unwrap();
    while pid.last() != Some(&b'\n') {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        pid.extend(byte);
    }
    let pid = String::from_utf8(pid).unwrap().trim().parse().unwrap();
    let identity = Identity::of(pid).unwrap();
    process::write_record(&place.record(), &identity).unwrap();
    let handle = read_record(&place.record()).unwrap().unwrap().open().unwrap();
    let (first, second) = tokio::join!(
        async {
            handle.kill(Signal::KILL).unwrap();
            handle.wait().await.unwrap()
        },
        handle.wait()
    );
    assert_eq!((first, second.unwrap()), (Ending::Unknown, Ending::Unknown));
    parent.wait().unwrap();
    assert!(identity.open().is_none());
}

/// A program whose main thread ends alone: the system takes it for one that runs.
fn without_its_main_thread(place: &Place) -> Launch {
    let script = format!(
        "import ctypes, threading, time\n\
         threading.Thread(target=lambda: time.sleep(1000)).start()\n\
         ctypes.CDLL(None).syscall({}, 0)",
        nix::libc::SYS_exit
    );
    place.launch("/usr/bin/python3", &["-c", &script])
}

async fn until_headless(pid: u32) {
    let look = async {
        while !fs::read_to_string(format!("/proc/{pid}/stat"))
            .unwrap()
            .contains(") Z ")
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, look).await.unwrap();
}

#[tokio::test]
async fn a_process_without_its_main_thread_is_no_ended_one_and_is_ended_where_it_is_watched() {
    let place = Place::new();
    let handle = without_its_main_thread(&place).start().await.unwrap().keep();
    let identity = handle.identity().clone();
    until_headless(identity.pid).await;
    // For the next daemon as well.
    assert!(identity.is_alive());
    assert!(identity.open().is_some());
    assert_eq!(handle.watch().await.unwrap(), Ending::Headless);
    assert!(!exists(identity.pid));
    assert_eq!(handle.wait().await.unwrap(), Ending::Signalled(9));
}

#[tokio::test]
async fn a_watched_process_that_ends_whole_is_told_as_any_other() {
    let place = Place::new();
    let script = "import threading, time, os\n\
                  for _ in range(50): threading.Thread(target=lambda: time.sleep(1000)).start()\n\
                  os._exit(7)";
    let launch = place.launch("/usr/bin/python3", &["-c", script]);
    let handle = launch.start().await.unwrap().keep();
    assert_eq!(handle.watch().await.unwrap(), Ending::Exited(7));
}

#[tokio::test]
async fn a_failed_preparation_means_no_program_and_no_record() {
    let place = Place::new();
    let mut launch = place.launch("/bin/touch", &["ran"]);
    launch.prepare(|_| Err(io::Error::other("no room")));
    assert!(matches!(launch.start().await, Err(ProcessError::Fork { .. })));
    assert!(place.is_empty());
}

const CRASHING: &str = "PROCESS_TEST_CRASHING_DAEMON";

/// The daemon of the test below: dies between fork and record, by its own hand.
#[tokio::test]
#[ignore = "run by a_daemon_that_dies_before_the_record_leaves_no_process"]
async fn daemon_that_dies_before_the_record() {
    let folder = std::env::var_os(CRASHING).expect("run by another test, which says where");
    let folder = Path::new(&folder);
    let mut launch = Launch::new("/bin/touch", folder, folder.join("process.json"));
    launch.argument("ran");
    let told = folder.join("child");
    launch.prepare(move |identity| {
        process::write_record(&told, identity).map_err(io::Error::other)?;
        let own_pid = rustix::process::getpid();
        rustix::process::kill_process(own_pid, Signal::KILL)?;
        unreachable!("killed")
    });
    let _ = launch.start().await;
}

#[tokio::test]
async fn a_daemon_that_dies_before_the_record_leaves_no_process() {
    let place = Place::new();
    let mut daemon = Command::new(std::env::current_exe().unwrap());
    daemon.args(["--exact", "daemon_that_dies_before_the_record", "--ignored"]);
    daemon.env(CRASHING, place.folder.path()).stdout(Stdio::null());
    assert_eq!(daemon.status().unwrap().signal(), Some(9));
    let child = read_record(&place.folder.path().join("child"))
        .unwrap()
        .expect("it got that far");
    // It dies with its parent, at once but not in the same moment.
    if let Some(child) = child.open() {
        child.wait().await.unwrap();
    }
    assert!(!place.folder.path().join("ran").exists(), "the program never ran");
    assert!(!place.record().exists());
}

/// Waits for a process that a script has noted in a file of the place.
fn noted(place: &Place, name: &str) -> u32 {
    let path = place.folder.path().join(name);
    loop {
        if let Ok(text) = fs::read_to_string(&path)
            && let Some(pid) = text.strip_suffix('\n')
        {
            return pid.parse().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Waits until it has ended, reaped or not.
fn ends(pid: u32) {
    while Identity::of(pid).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[tokio::test]
async fn what_a_program_has_started_is_killed_with_it() {
    let script = "sleep 1000 & echo $! > child; wait";
    let place = Place::new();
    let started = place.launch("/bin/sh", &["-c", script]).start().await.unwrap();
    let child = noted(&place, "child");
    drop(started);
    ends(child);
    let place = Place::new();
    let started = place.launch("/bin/sh", &["-c", script]).start().await.unwrap();
    let child = noted(&place, "child");
    let identity = started.keep().identity().clone();
    identity.open().unwrap().kill(Signal::KILL).unwrap();
    ends(child);
}

#[tokio::test]
async fn what_a_program_left_behind_is_killed_and_no_other_of_its_group() {
    let script = "sleep 1000 & echo $! > child; cd /; sleep 1000 & echo $! > \"$OLDPWD/elsewhere\"; exit 3";
    let place = Place::new();
    let handle = place
        .launch("/bin/sh", &["-c", script])
        .start()
        .await
        .unwrap()
        .keep();
    assert_eq!(handle.wait().await.unwrap(), Ending::Exited(3));
    let (child, elsewhere) = (noted(&place, "child"), noted(&place, "elsewhere"));
    // One of the same number, and another group.
    let other = Identity {
        start_time: handle.identity().start_time + 1_000_000,
        ..handle.identity().clone()
    };
    other.end_left_behind(place.folder.path());
    assert!(Identity::of(child).is_ok());
    handle.identity().end_left_behind(place.folder.path());
    ends(child);
    Identity::of(elsewhere)
        .unwrap()
        .open()
        .unwrap()
        .kill(Signal::KILL)
        .unwrap();
    ends(elsewhere);

    // A start that fails takes it along.
    let place = Place::new();
    let started = place
        .launch("/bin/sh", &["-c", "sleep 1000 & echo $! > child; exit 3"])
        .start()
        .await
        .unwrap();
    assert_eq!(started.handle().wait().await.unwrap(), Ending::Exited(3));
    let child = noted(&place, "child");
    drop(started);
    ends(child);
}
