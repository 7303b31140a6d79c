//! Confined processes, looked at from within and through `/proc` from outside; by root, by a plain user, and on hosts
//! that have no user namespaces to give.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use process::{Confinement, Ending, Launch, ProcessError, Started, Wire};
use rustix::process::{getpid, getuid};
use tempfile::TempDir;

/// A folder outside, with files to show.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("kernel"), "a kernel").unwrap();
        fs::create_dir(folder.path().join("shared")).unwrap();
        fs::set_permissions(folder.path().join("shared"), fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn confinement(&self) -> Confinement {
        let mut confinement = Confinement::new(7);
        confinement
            .show_programs()
            .show(self.path("kernel"), "/boot/kernel")
            .show_writable(self.path("shared"), "/shared")
            .scratch("/scratch", 1 << 20)
            .device("/dev/null")
            .device("/dev/urandom");
        confinement
    }

    fn launch(&self, program: &str, arguments: &[&str]) -> Launch {
        let mut launch = Launch::new(program, self.folder.path(), self.path("process.json"));
        launch.arguments(arguments).confine(self.confinement());
        launch
    }

    async fn start(&self, program: &str, arguments: &[&str]) -> Started {
        self.launch(program, arguments).start().await.unwrap()
    }

    /// Runs it to its end; gives what it wrote.
    async fn output_of(&self, mut launch: Launch) -> String {
        let (mut reader, writer) = io::pipe().unwrap();
        launch.output(writer.into());
        let handle = launch.start().await.unwrap().keep();
        let read = move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        };
        let text = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
        assert_eq!(handle.wait().await.unwrap(), Ending::Exited(0), "{text}");
        text
    }

    async fn says(&self, script: &str) -> String {
        self.output_of(self.launch("/bin/sh", &["-c", script])).await
    }
}

/// Value of a line of `/proc/<pid>/status`.
fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap().trim().replace('\t', " ")
}

fn namespace(pid: u32, kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
}

#[tokio::test]
async fn a_wire_is_never_laid_into_the_hosts_own_network() {
    let place = Place::new();
    let (end, _peer) = UnixStream::pair().unwrap();
    let mut launch = Launch::new("/bin/true", place.folder.path(), place.path("process.json"));
    launch.wire(Wire::new(end.into(), 1500));
    let error = launch.start().await.unwrap_err();
    assert!(
        matches!(&error, ProcessError::Wire { source, .. } if source.reason().ends_with("in the host's network"))
    );
    assert!(!place.path("process.json").exists());
}

/// All that holds wherever a process can be confined.
async fn look_at_a_confined_process() {
    let place = Place::new();
    place.confinement().try_out().unwrap();

    let started = place.start("/bin/sleep", &["1000"]).await;
    let pid = started.handle().identity().pid;
    for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(pid, key), "0000000000000000", "{key}");
    }
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert!(status(pid, "NSpid").ends_with(" 1"), "{}", status(pid, "NSpid"));
    for kind in ["mnt", "pid", "ipc", "uts", "net"] {
        assert_ne!(
            namespace(pid, kind),
            namespace(getpid().as_raw_pid().unsigned_abs(), kind),
            "{kind}"
        );
    }
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut open: Vec<_> = open.map(|entry| entry.unwrap().file_name()).collect();
    open.sort_unstable();
    assert_eq!(open, ["0", "1", "2"]);
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (at, options): (&str, Vec<&str>) = (fields[4], fields[5].split(',').collect());
        let shown = [
            "/usr",
            "/bin",
            "/sbin",
            "/lib",
            "/etc/",
            "/nix",
            "/gnu",
            "/boot/kernel",
        ];
        if at == "/" || shown.iter().any(|shown| at.starts_with(shown)) {
            assert!(options.contains(&"ro"), "{line}");
        } else {
            assert!(
                ["/shared", "/scratch", "/dev/null", "/dev/urandom"].contains(&at),
                "{line}"
            );
            assert!(options.contains(&"noexec"), "{line}");
        }
        assert!(options.contains(&"nosuid"), "{line}");
    }
    drop(started);

    let root = place
        .says("ls -A /; ls /boot /dev /shared; cat /boot/kernel")
        .await;
    let root: Vec<&str> = root.lines().collect();
    for hidden in ["home", "root", "proc", "sys", "run", "tmp", "var"] {
        assert!(!root.contains(&hidden), "{root:?}");
    }
    assert!(root.ends_with(&["/shared:", "a kernel"]), "{root:?}");
    assert_eq!(place.says("pwd; echo $$; uname -n").await, "/\n1\nbanger\n");
    if has_user_namespaces() {
        assert_eq!(place.says("id -u; id -g").await, "1000\n1000\n");
    }
    assert_eq!(
        place
            .says("echo x 2>/dev/null > /file || echo no; echo x 2>/dev/null > /boot/kernel || echo no")
            .await,
        "no\nno\n"
    );
    assert_eq!(
        place
            .says("echo x > /shared/new && echo x > /scratch/new && head -c 4 /dev/urandom | wc -c")
            .await,
        "4\n"
    );
    assert_eq!(
        place
            .says("cp /bin/true /scratch/t; chmod +x /scratch/t; /scratch/t 2>/dev/null || echo no")
            .await,
        "no\n"
    );
    assert_eq!(
        place.says("head -c 3000000 /dev/zero 2>/dev/null > /scratch/big; head -c 3000000 /dev/urandom 2>/dev/null > /scratch/big || echo full").await,
        "full\n"
    );
    // Empty files take none of its bytes, but memory of the host's.
    assert_eq!(
        place
            .says("i=0; while [ $i -lt 3000 ] && true 2>/dev/null > /scratch/empty$i; do i=$((i+1)); done; [ $i -lt 3000 ] && echo full")
            .await,
        "full\n"
    );
    assert_eq!(place.says("unshare -U true 2>/dev/null || echo no").await, "no\n");
    assert_eq!(fs::read_to_string(place.path("shared/new")).unwrap(), "x\n");
    if getuid().is_root() {
        let owner = fs::metadata(place.path("shared/new")).unwrap().uid();
        assert_eq!(owner != 0, knows_other_ids(), "{owner}");
    }
}

fn knows_other_ids() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_ascii_whitespace().nth(2).unwrap() != "1"
}

fn has_user_namespaces() -> bool {
    fs::read_to_string("/proc/sys/user/max_user_namespaces")
        .unwrap()
        .trim()
        != "0"
}

#[tokio::test]
async fn a_confined_program_sees_only_what_is_listed() {
    look_at_a_confined_process().await;
}

#[tokio::test]
#[ignore = "run by confinement_needs_no_root and root_needs_no_user_namespaces"]
async fn confined_by_another() {
    look_at_a_confined_process().await;
}

#[tokio::test]
#[ignore = "run by a_host_without_user_namespaces_is_told_from_one_with"]
async fn refused() {
    let place = Place::new();
    let refusal = place.confinement().try_out().unwrap_err();
    assert_eq!(refusal.to_string(), "cannot make namespaces");
    let error = place.launch("/bin/true", &[]).start().await.unwrap_err();
    assert!(matches!(error, ProcessError::Confine { .. }), "{error:?}");
    assert!(!place.path("process.json").exists());
}

/// Runs a test of this file as somebody else, who `how` makes; `$@` in it is the test.
fn run_as(how: &str, test: &str) {
    let this = std::env::current_exe().unwrap();
    let output = Command::new("/bin/sh")
        .args(["-euc", how, "sh"])
        .arg(this)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn confinement_needs_no_root() {
    let how = if getuid().is_root() {
        "exec setpriv --reuid 61000 --regid 61000 --clear-groups \"$@\""
    } else {
        "exec \"$@\""
    };
    run_as(how, "confined_by_another");
}

/// `how` on a host without user namespaces: in one, whose own limit is no matter for the real host.
fn without_user_namespaces(how: &str) -> String {
    let then = format!("echo 0 > /proc/sys/user/max_user_namespaces; {how}");
    if getuid().is_root() {
        // With all ids of the host.
        format!(
            "unshare --user sleep 1000 & holder=$!; trap 'kill $holder' EXIT
             until [ \"$(readlink /proc/$holder/ns/user)\" != \"$(readlink /proc/$$/ns/user)\" ]; do sleep 0.01; done
             echo 0 0 4294967295 > /proc/$holder/uid_map; echo 0 0 4294967295 > /proc/$holder/gid_map
             nsenter --user=/proc/$holder/ns/user sh -euc '{then}' sh \"$@\""
        )
    } else {
        format!("exec unshare --user --map-root-user sh -euc '{then}' sh \"$@\"")
    }
}

#[test]
fn root_needs_no_user_namespaces() {
    run_as(&without_user_namespaces("exec \"$@\""), "confined_by_another");
}

#[test]
fn a_host_without_user_namespaces_is_told_from_one_with() {
    run_as(
        &without_user_namespaces("exec setpriv --bounding-set -all \"$@\""),
        "refused",
    );
}

#[tokio::test]
async fn a_program_that_is_not_shown_cannot_be_executed() {
    let place = Place::new();
    let path = place.path("kernel");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let error = place
        .launch(path.to_str().unwrap(), &[])
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, ProcessError::Execute { .. }), "{error:?}");
    assert!(!place.path("process.json").exists());
}

#[tokio::test]
async fn a_program_that_is_open_needs_no_path() {
    let place = Place::new();
    let copy = place.path("copy");
    fs::copy("/bin/sleep", &copy).unwrap();
    let program = fs::File::open(&copy).unwrap().into();
    fs::remove_file(&copy).unwrap();
    let mut launch = Launch::of_opened(program, "a-name", place.folder.path(), place.path("process.json"));
    launch.argument("1000").confine(place.confinement());
    let started = launch.start().await.unwrap();
    let process = PathBuf::from(format!("/proc/{}", started.handle().identity().pid));
    assert_eq!(fs::read(process.join("cmdline")).unwrap(), b"a-name\x001000\0");
    // It may just be opening what it is linked with.
    let open = fs::read_dir(process.join("fd")).unwrap();
    let open = open.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    assert!(
        open.into_iter()
            .all(|file| !file.starts_with(place.folder.path()))
    );
}

#[tokio::test]
async fn what_cannot_be_shown_is_named_and_nothing_is_left() {
    let place = Place::new();
    let mut launch = Launch::new("/bin/true", place.folder.path(), place.path("process.json"));
    let mut confinement = place.confinement();
    confinement.show("/nowhere/at-all", "/a");
    launch.confine(confinement);
    let error = launch.start().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "cannot show /nowhere/at-all");

    // Found out only by the child: a folder in the place of a link.
    let mut launch = Launch::new("/bin/true", place.folder.path(), place.path("process.json"));
    let mut confinement = Confinement::new(0);
    confinement.scratch("/a", 4096).show("/dev/null", "/a");
    launch.confine(confinement);
    let error = launch.start().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "cannot show /dev/null");
    assert!(!place.path("process.json").exists());
}

#[tokio::test]
async fn the_network_is_kept_where_that_is_asked_for() {
    let place = Place::new();
    let mut confinement = place.confinement();
    confinement.keep_network();
    let mut launch = Launch::new("/bin/sleep", place.folder.path(), place.path("process.json"));
    launch.argument("1000").confine(confinement);
    let started = launch.start().await.unwrap();
    let own = getpid().as_raw_pid().unsigned_abs();
    assert_eq!(
        namespace(started.handle().identity().pid, "net"),
        namespace(own, "net")
    );
}

#[tokio::test]
async fn what_only_root_may_read_is_shown_to_a_process_that_stays_the_same_user() {
    let place = Place::new();
    fs::set_permissions(place.path("kernel"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.says("cat /boot/kernel").await, "a kernel");
    let started = place.start("/bin/sleep", &["1000"]).await;
    let pid = started.handle().identity().pid;
    assert_eq!(status(pid, "CapEff"), "0000000000000000");
    assert_eq!(status(pid, "CapBnd"), "0000000000000000");
}
