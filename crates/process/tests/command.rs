//! Programs whose caller waits: their pipes and bounds, their confinement where there is one to be had, and their end.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use process::{Bounds, Command, Confinement, Cut, Ending, Limits, ProcessError, Stream};
use rustix::process::getuid;
use tempfile::TempDir;

const BOUNDS: Bounds = Bounds {
    output: 1 << 20,
    errors: 16,
    time: Duration::from_secs(60),
};

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arguments(["-c", script]);
    command
}

fn programs() -> Confinement {
    let mut confinement = Confinement::new(0);
    confinement.show_programs().device("/dev/null");
    confinement
}

fn confined(script: &str) -> Command {
    let mut command = shell(script);
    command.confine(programs());
    command
}

#[test]
fn what_a_program_reads_writes_and_complains_of_goes_by_pipes() {
    let input = vec![b'x'; 700_000];
    for command in [
        shell("cat; echo a long complaint >&2; exit 3"),
        confined("cat; echo a long complaint >&2; exit 3"),
    ] {
        let finished = command.run(Some(&input), BOUNDS).unwrap();
        assert_eq!(finished.ending, Ending::Exited(3));
        assert!(!finished.succeeded());
        assert_eq!(finished.output, input);
        assert_eq!(finished.errors, b"a long complaint");
    }
    let nothing = shell("cat").run(None, BOUNDS).unwrap();
    assert!(nothing.succeeded() && nothing.output.is_empty());
    // It does not read what it is given.
    assert!(shell("true").run(Some(&input), BOUNDS).unwrap().succeeded());
}

#[test]
fn a_program_that_writes_or_takes_too_much_is_ended() {
    let bounds = Bounds {
        output: 1000,
        ..BOUNDS
    };
    let endless = confined("cat /dev/zero || while :; do echo x; done")
        .run(None, bounds)
        .unwrap();
    assert_eq!(endless.cut, Some(Cut::Output));
    assert!(endless.output.len() <= 1001 && !endless.succeeded());
    let bounds = Bounds {
        time: Duration::from_millis(200),
        ..BOUNDS
    };
    let begun = Instant::now();
    // What it started holds its pipes open and ends with it.
    let slow = confined("sleep 1000 & sleep 1000").run(None, bounds).unwrap();
    assert_eq!((slow.cut, slow.ending), (Some(Cut::Time), Ending::Signalled(9)));
    assert!(begun.elapsed() < Duration::from_secs(50));
    let mut busy = confined("while :; do :; done");
    busy.limit(Limits {
        cpu: Some(Duration::from_secs(1)),
        ..Limits::default()
    });
    assert!(!busy.run(None, BOUNDS).unwrap().succeeded());
}

#[test]
fn a_child_that_is_dropped_ends_with_all_that_it_started() {
    for mut command in [
        shell("sleep 1000 & echo; exec sleep 1000"),
        confined("setsid sleep 1000 & echo; exec sleep 1000"),
    ] {
        command.output(Stream::Pipe);
        let mut child = command.spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0]).unwrap();
        drop(child);
        // Only once nobody has its other end.
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn a_child_is_waited_for_and_takes_descriptors() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut command = Command::new("/bin/sh");
    let number = command.pass(OwnedFd::from(writer));
    command
        .arguments(["-c", &format!("read line; echo $line >&{number}")])
        .input(Stream::Pipe)
        .confine(programs());
    let mut child = command.spawn().unwrap();
    assert_eq!(child.wait_for(Duration::from_millis(20)).unwrap(), None);
    child.stdin.take().unwrap().write_all(b"a line\n").unwrap();
    assert_eq!(child.wait().unwrap(), Ending::Exited(0));
    assert_eq!(child.wait().unwrap(), Ending::Exited(0));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "a line\n");
    assert!(reader.as_raw_fd() > 2);
}

/// A folder with a part that can be written, and a link.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("tree/part")).unwrap();
        fs::write(folder.path().join("tree/file"), "text").unwrap();
        fs::set_permissions(folder.path().join("tree/file"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("part", folder.path().join("tree/link")).unwrap();
        Self(folder)
    }

    fn tree(&self) -> std::path::PathBuf {
        self.0.path().join("tree").canonicalize().unwrap()
    }

    fn within(&self, part: &str, script: &str) -> Command {
        let tree = self.tree();
        let mut confinement = programs();
        let part = tree.join(part);
        confinement
            .become_user(getuid().as_raw(), rustix::process::getgid().as_raw())
            .scratch("/tmp", 1 << 20)
            .show(&tree, &tree)
            .show_writable(&part, &part);
        let mut command = shell(script);
        command.folder(&tree).confine(confinement);
        command
    }
}

fn says(command: Command) -> String {
    let finished = command.run(None, BOUNDS).unwrap();
    assert!(finished.succeeded(), "{finished:?}");
    assert!(finished.confined);
    String::from_utf8(finished.output).unwrap()
}

#[test]
fn a_part_of_what_is_shown_for_reading_can_be_written() {
    let place = Place::new();
    let said = says(place.within(
        "part",
        "pwd; cat file; touch new 2>/dev/null || echo no; echo x >part/new; touch /tmp/x",
    ));
    assert_eq!(said, format!("{}\ntextno\n", place.tree().display()));
    let made = place.tree().join("part/new");
    assert_eq!(fs::read(&made).unwrap(), b"x\n");
    assert_eq!(fs::metadata(made).unwrap().uid(), getuid().as_raw());
    // By a link it would lie anywhere.
    let error = place.within("link", "true").spawn().unwrap_err();
    assert!(matches!(error, ProcessError::Confine { .. }), "{error:?}");
}

#[test]
fn who_keeps_its_number_inside_has_no_right_by_it() {
    let place = Place::new();
    let seen = says(place.within(
        "part",
        "id -u; id -g; stat -c %u file; touch /usr/x 2>/dev/null || echo no",
    ));
    let (user, group) = (getuid().as_raw(), rustix::process::getgid().as_raw());
    assert_eq!(seen, format!("{user}\n{group}\n{user}\nno\n"));
    let mut command = place.within("part", "echo; exec sleep 1000");
    command.output(Stream::Pipe);
    let mut child = command.spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            status.contains(&format!("{key}:\t0000000000000000\n")),
            "{status}"
        );
    }
}

#[test]
fn root_can_have_a_program_run_as_the_owner_of_what_it_looks_at() {
    if !getuid().is_root() {
        // Others stay who they are, whatever is asked for.
        let place = Place::new();
        assert_eq!(says(place.within("part", "cat file")), "text");
        return;
    }
    let place = Place::new();
    for path in ["tree", "tree/part", "tree/file"] {
        rustix::fs::chown(
            place.0.path().join(path),
            Some(rustix::fs::Uid::from_raw(61_000)),
            Some(rustix::fs::Gid::from_raw(61_000)),
        )
        .unwrap();
    }
    let tree = place.tree();
    let mut confinement = programs();
    confinement
        .become_user(61_000, 61_000)
        .show_writable(&tree, &tree);
    let mut command = shell("cat file; touch part/made");
    command.folder(&tree).confine(confinement);
    assert_eq!(says(command), "text");
    assert_eq!(fs::metadata(tree.join("part/made")).unwrap().uid(), 61_000);
}

/// Runs a test of this file as another program, made by `how`, in which `$@` is the test.
fn run_as(how: &str, test: &str) {
    let output = std::process::Command::new("/bin/sh")
        .args(["-euc", how, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_host_that_confines_nothing_is_found_out_and_only_what_may_runs_unconfined() {
    let none = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set -all";
    let how = format!("exec unshare --user --map-root-user sh -euc '{none} \"$@\"' sh \"$@\"");
    run_as(&how, "on_a_host_that_confines_nothing");
}

#[test]
#[ignore = "run by a_host_that_confines_nothing_is_found_out_and_only_what_may_runs_unconfined"]
fn on_a_host_that_confines_nothing() {
    let error = confined("true").spawn().unwrap_err();
    assert!(matches!(error, ProcessError::Confine { .. }), "{error:?}");
    let mut command = confined("ulimit -f");
    command.unconfined_if_refused().limit(Limits {
        file_size: Some(1 << 20),
        ..Limits::default()
    });
    let finished = command.run(None, BOUNDS).unwrap();
    assert!(finished.succeeded() && !finished.confined);
    assert_eq!(String::from_utf8(finished.output).unwrap().trim(), "2048");
    let refused = Confinement::refused().unwrap();
    assert_eq!(refused.to_string(), "cannot make namespaces");
}

#[test]
fn what_is_wanting_for_a_moment_is_no_host_that_confines_nothing() {
    run_as("exec \"$@\"", "in_want_of_descriptors");
}

#[test]
#[ignore = "run by what_is_wanting_for_a_moment_is_no_host_that_confines_nothing"]
fn in_want_of_descriptors() {
    let mut taken = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        taken.push(file);
    }
    let refusal = programs().try_out().unwrap_err();
    assert!(refusal.is_want(), "{refusal:?}");
    assert!(Confinement::refused().is_none());
    if getuid().is_root() {
        let range = process::IdRange::find(0);
        assert!(matches!(range, Err(process::NoRange::Unread { .. })), "{range:?}");
    }
    // Enough for it to get halfway.
    for room in 1..12 {
        taken.pop();
        let mut command = confined("true");
        command.unconfined_if_refused();
        if let Ok(finished) = command.run(None, BOUNDS) {
            assert!(finished.confined, "with room for {room}");
        }
    }
    drop(taken);
    let mut command = confined("true");
    command.unconfined_if_refused();
    assert!(command.run(None, BOUNDS).unwrap().confined);
}

#[test]
fn a_confinement_that_cannot_be_made_is_an_error_where_the_host_confines_others() {
    assert!(Confinement::refused().is_none());
    let mut confinement = programs();
    confinement.scratch("/a", 4096).show("/dev/null", "/a");
    let mut command = shell("true");
    command.confine(confinement).unconfined_if_refused();
    let error = command.spawn().unwrap_err();
    assert!(matches!(error, ProcessError::Confine { .. }), "{error:?}");
}

#[test]
fn a_program_ends_with_the_process_that_waits_for_it() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut caller = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "waits_for_ever", "--ignored", "--nocapture"])
        .stderr(writer)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"runs\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    caller.kill().unwrap();
    caller.wait().unwrap();
    // The program has the pipe, too.
    reader.read_to_end(&mut said).unwrap();
}

#[test]
#[ignore = "run by a_program_ends_with_the_process_that_waits_for_it"]
fn waits_for_ever() {
    // On a thread that ends long before.
    let started = std::thread::spawn(|| {
        let errors = OwnedFd::from(
            fs::File::options()
                .write(true)
                .open(Path::new("/proc/self/fd/2"))
                .unwrap(),
        );
        let mut command = confined("echo runs >&2; exec sleep 1000");
        command.errors(Stream::Given(errors));
        command.spawn().unwrap()
    });
    started.join().unwrap().wait().unwrap();
}
