//! Recipes that try to get out: a tiny tree with real tools, in which a step does what gets out of a chroot, as root, as
//! a plain user, and as root where there are no user namespaces.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use process::IdRange;

use super::customize::{self, Step};
use super::room::Room;
use super::{Tree, pack};
use crate::error::CatalogError;
use crate::progress::ProgressSink;
use crate::recipe::Recipe;
use crate::workdir::WorkDir;
use progress::Cancel;

/// Set where a test runs once more as somebody else.
const AGAIN: &str = "CATALOG_TEST_AGAIN";

/// A tree, and something of the host's beside it.
pub(super) struct Place {
    pub(super) root: PathBuf,
    temporary: PathBuf,
    run: PathBuf,
    pub(super) folder: Arc<WorkDir>,
    pub(super) range: Option<IdRange>,
    progress: ProgressSink,
    pub(super) cancel: Cancel,
    host: tempfile::TempDir,
}

impl Place {
    /// As this process's user builds.
    pub(super) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let folder = WorkDir::new(place.path()).unwrap();
        let room = Room::find(folder.path(), &(Arc::new(|_| {}) as ProgressSink)).unwrap();
        let range = room.range();
        assert!(range.is_some(), "this host refuses user namespaces");
        Self::with(place, folder, range)
    }

    /// As root builds where there are no user namespaces.
    fn without_user_namespace() -> Self {
        let place = tempfile::tempdir().unwrap();
        let folder = WorkDir::new(place.path()).unwrap();
        Self::with(place, folder, None)
    }

    fn with(host: tempfile::TempDir, folder: WorkDir, range: Option<IdRange>) -> Self {
        let room = Room::of(range);
        let place = Self {
            root: room.folder(&folder, super::room::TREE, 0o755).unwrap(),
            temporary: room.folder(&folder, "tmp", 0o1777).unwrap(),
            run: room.folder(&folder, "run", 0o755).unwrap(),
            folder: Arc::new(folder),
            range,
            progress: Arc::new(|_| {}),
            cancel: Cancel::new(),
            host,
        };
        fs::write(place.secret(), "the host's").unwrap();
        for program in ["/usr/bin/perl", "/usr/bin/tar"] {
            place.copy(program);
            let linked = Command::new("ldd").arg(program).output().unwrap();
            for word in String::from_utf8(linked.stdout).unwrap().split_whitespace() {
                if word.starts_with('/') {
                    place.copy(word);
                }
            }
        }
        place.copy("/usr/bin/busybox");
        symlink("usr/bin", place.root.join("bin")).unwrap();
        for name in [
            "sh", "env", "cat", "chroot", "mkdir", "ls", "ln", "mount", "setsid", "sleep", "rm", "touch",
            "id",
        ] {
            symlink("busybox", place.root.join("usr/bin").join(name)).unwrap();
        }
        fs::create_dir(place.root.join("etc")).unwrap();
        place.give_all(&place.root);
        place
    }

    /// A file that only the host's has.
    fn secret(&self) -> PathBuf {
        self.host.path().join("secret")
    }

    /// A number of this place's, of all that live.
    fn unique(&self) -> String {
        let inode = fs::metadata(self.host.path()).unwrap().ino();
        format!("{}", 1_000_000 + inode % 1_000_000_000)
    }

    fn copy(&self, path: &str) {
        let to = self.root.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }

    fn give_all(&self, path: &Path) {
        let room = Room::of(self.range);
        if let Some((user, group)) = room.others() {
            lchown(path, Some(user), Some(group)).unwrap();
        }
        if path.symlink_metadata().unwrap().is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                self.give_all(&entry.unwrap().path());
            }
        }
    }

    fn tree(&self) -> Tree<'_> {
        Tree {
            root: self.root.clone(),
            temporary: self.temporary.clone(),
            run: self.run.clone(),
            room: Room::of(self.range),
            folder: Arc::clone(&self.folder),
            date: Timestamp::UNIX_EPOCH,
            progress: &self.progress,
            cancel: &self.cancel,
        }
    }

    /// Runs a command of a recipe's.
    fn run(&self, words: &[&str]) -> Result<(), CatalogError> {
        self.tree().take(Step {
            name: "command".into(),
            words: words.iter().map(|&word| word.to_owned()).collect(),
            input: None,
        })
    }

    pub(super) fn shell(&self, script: &str) -> Result<(), CatalogError> {
        self.run(&["sh", "-euc", script])
    }

    /// What a script prints in the tree.
    fn says(&self, script: &str) -> String {
        self.shell(&format!("{{ {script}\n}} >/answer 2>&1 || echo failed >>/answer"))
            .unwrap();
        let mut answer = String::new();
        let path = self.root.join("answer");
        fs::File::open(path).unwrap().read_to_string(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

/// `perl -e`: the answer is the error of the call, or `done`.
fn call(expression: &str) -> String {
    format!("LC_ALL=C perl -e 'my $r = {expression}; print $r < 0 || !defined $r ? $! + 0 : \"done\"'")
}

/// Every way out that is known, and what comes of it.
fn try_all(place: &Place) {
    let secret = place.secret().display().to_string();
    let own = std::process::id();
    let name = format!("catalog-test-{}", place.unique());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let (not_permitted, unknown_call, no_family) = ("1", "38", "97");
    let table = [
        // The usual escape: a root below this folder, and then up from where one is.
        (
            "mkdir -p x; chroot x /bin/sh 2>/dev/null && echo out || echo held".to_owned(),
            "held",
        ),
        (
            format!("cat {secret} ../../../../../..{secret} 2>/dev/null || echo held"),
            "held",
        ),
        (
            format!(
                "cat /proc/1/root{secret} /proc/*/root{secret} /proc/*/cwd{secret} 2>/dev/null || echo held"
            ),
            "held",
        ),
        (
            format!("LC_ALL=C perl -e 'print kill(0, {own}) ? q(seen) : $! + 0'"),
            "3",
        ),
        // 165 mount, 161 chroot, 155 pivot_root, 166 umount2, 272 unshare, 308 setns
        (
            call("syscall(165, my $a = q(none), my $b = q(/tmp), my $c = q(tmpfs), 0, 0)"),
            not_permitted,
        ),
        (call("syscall(161, my $a = q(/tmp))"), not_permitted),
        (
            call("syscall(155, my $a = q(/tmp), my $b = q(/tmp))"),
            not_permitted,
        ),
        (call("syscall(166, my $a = q(/proc), 2)"), not_permitted),
        (call("syscall(272, 0x10000000)"), not_permitted),
        (call("syscall(308, 0, 0)"), not_permitted),
        // 56 clone with a user namespace, 435 clone3
        (call("syscall(56, 0x10000011, 0, 0, 0, 0)"), not_permitted),
        (call("syscall(435, 0, 0)"), unknown_call),
        // 133 mknod: the first disk, and memory
        (
            call("syscall(133, my $a = q(/disk), 0060666, 0x800)"),
            not_permitted,
        ),
        (
            call("syscall(133, my $a = q(/memory), 0020666, 0x101)"),
            not_permitted,
        ),
        // 101 ptrace, 310 process_vm_readv, 438 pidfd_getfd
        (call("syscall(101, 16, 1, 0, 0)"), not_permitted),
        (call("syscall(310, 1, 0, 0, 0, 0, 0)"), not_permitted),
        (call("syscall(438, 0, 0, 0)"), not_permitted),
        // 250 keyctl, 304 open_by_handle_at, 321 bpf, 425 io_uring_setup, 175 init_module, 298 perf_event_open
        (call("syscall(250, 0, -3, 0)"), unknown_call),
        (call("syscall(304, -100, 0, 0)"), unknown_call),
        (call("syscall(321, 0, 0, 0)"), unknown_call),
        (call("syscall(425, 1, 0)"), unknown_call),
        (call("syscall(175, 0, 0, 0)"), unknown_call),
        (call("syscall(298, 0, 0, 0, 0, 0)"), unknown_call),
        // 41 socket: netlink, vsock, packets; 170 sethostname
        (call("syscall(41, 16, 3, 0)"), no_family),
        (call("syscall(41, 40, 1, 0)"), no_family),
        (call("syscall(41, 17, 3, 0)"), no_family),
        (call("syscall(170, my $a = q(x), 1)"), not_permitted),
        // The host's sockets: connection refused, in a network without anybody.
        (
            call(&format!(
                "do {{ socket(my $s, 1, 1, 0); connect($s, pack(q(Sa*), 1, qq(\\0{name}))) ? 0 : -1 }}"
            )),
            "111",
        ),
        (
            call(&format!(
                "do {{ socket(my $s, 2, 1, 0); connect($s, pack(q(SnCCCCx8), 2, {port}, 127, 0, 0, 1)) ? 0 : -1 }}"
            )),
            "101",
        ),
        (
            "ls /proc/sys/net/ipv4/conf 2>/dev/null | grep -c eth || true".to_owned(),
            "0",
        ),
        // The kernel's settings.
        (
            "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches; do
            { echo 1 >$f; } 2>/dev/null && echo written; done; ls /sys 2>/dev/null | head -c 1; echo held"
                .to_owned(),
            "held",
        ),
        // Nothing of the daemon's: descriptors (3 is that of `ls`), variables, groups.
        (
            "ls /proc/self/fd | sort | head -n 4 | tr '\\n' ' '".to_owned(),
            "0 1 2 3",
        ),
        (
            "env | cut -d= -f1 | sort | tr '\\n' ' '".to_owned(),
            "DEBIAN_FRONTEND HOME LC_ALL PATH PWD SHLVL SOURCE_DATE_EPOCH",
        ),
        ("id".to_owned(), "uid=0 gid=0"),
        (
            "ls /dev | tr '\\n' ' '".to_owned(),
            "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
        ),
        (
            "grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd):' /proc/self/status | tr -s '\\t\\n' ' '"
                .to_owned(),
            "CapEff: 00000000800001fb CapBnd: 00000000800001fb NoNewPrivs: 1 Seccomp: 2",
        ),
    ];
    for tool in ["grep", "cut", "sort", "head", "tr", "find", "yes", "dd"] {
        let path = place.root.join("usr/bin").join(tool);
        symlink("busybox", &path).unwrap();
        place.give_all(&path);
    }
    let wrong: Vec<_> = table
        .into_iter()
        .filter_map(|(script, expected)| {
            let said = place.says(&script);
            (said != expected).then_some((script, said, expected))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(fs::read_to_string(place.secret()).unwrap(), "the host's");
}

fn stays_inside(place: &Place) {
    try_all(place);
    leaves_nothing_running(place);
    writes_through_no_link(place);
    is_refused_where_ours_should_be(place);
    is_packed_within_bounds(place);
}

fn leaves_nothing_running(place: &Place) {
    let number = place.unique();
    place
        .shell(&format!(
            "setsid sleep {number} </dev/null >/dev/null 2>&1 & setsid sleep {number} & touch /started"
        ))
        .unwrap();
    assert!(place.root.join("started").exists());
    let running = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.starts_with(b"sleep") && line.windows(number.len()).any(|part| part == number.as_bytes())
    });
    assert!(!running);
}

fn writes_through_no_link(place: &Place) {
    let outside = place.host.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).unwrap();
    let path = outside.display();
    let up = "../".repeat(20);
    place
        .shell(&format!(
            "rm -rf /etc/apt; ln -s {path} /etc/apt; ln -s {path}/by-name /etc/name; ln -s {up}{path} /up; ln -s /proc/1/cwd{path} /proc-link"
        ))
        .unwrap();
    let recipe = "suite = \"s\"\ncomponents = [\"main\"]\npackages = []\n".to_owned();
    let files = ["/etc/apt/x", "/etc/name", "/up/x", "/proc-link/x"]
        .map(|path| format!("[[files]]\npath = \"{path}\"\ncontent = \"x\"\n"))
        .concat();
    let recipe = Recipe::parse(&(recipe + &files), "r.toml").unwrap();
    let steps = customize::steps(&place.folder, &recipe, &[], Timestamp::UNIX_EPOCH).unwrap();
    let files = steps.into_iter().next().unwrap();
    // Whether tar makes folders where a link leads in the tree or refuses to is its own business.
    let _ = place.tree().take(files);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    place.shell("rm -f /etc/apt /etc/name /up /proc-link").unwrap();
}

fn is_refused_where_ours_should_be(place: &Place) {
    let outside = place.host.path().join("outside").display().to_string();
    for name in ["proc", "dev", "tmp", "run"] {
        // What is mounted over a folder cannot be taken away, but another tree can come with anything.
        let path = place.root.join(name);
        let aside = place.root.join("aside");
        fs::rename(&path, &aside).unwrap();
        symlink(&outside, &path).unwrap();
        let error = place.shell("true").unwrap_err().to_string();
        assert!(error.starts_with("cannot confine the recipe's step: "), "{error}");
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

fn is_packed_within_bounds(place: &Place) {
    let secret = place.secret();
    place
        .shell(&format!(
            "ln -s {} /etc/secret; ln -s / /etc/loop; touch /owned; touch /tmp/gone /run/gone",
            secret.display()
        ))
        .unwrap();
    let archive = pack_all(place);
    let mut archive = tar::Archive::new(archive.as_slice());
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if name.contains("etc/secret") || name.contains("etc/loop") {
            assert_eq!(entry.header().entry_type(), tar::EntryType::Symlink);
        }
        if name == "owned" || name == "./owned" {
            assert_eq!(
                (entry.header().uid().unwrap(), entry.header().gid().unwrap()),
                (0, 0)
            );
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert!(!content.windows(10).any(|part| part == b"the host's"), "{name}");
        names.push(name);
    }
    assert!(names.iter().any(|name| name.ends_with("owned")));
    assert!(!names.iter().any(|name| name.ends_with("gone")), "{names:?}");
    // On the host, what root inside made is somebody's who owns nothing else.
    let owner = fs::metadata(place.root.join("owned")).unwrap().uid();
    let expected = place.range.map_or(0, |range| range.root().0);
    assert_eq!(owner, expected);

    // Five files of 15 GiB each that hold nothing.
    place
        .shell("for i in 1 2 3 4 5; do dd if=/dev/zero of=/hole$i bs=1 count=0 seek=15000000000 2>/dev/null; done")
        .unwrap();
    let error = pack::check(&Room::of(place.range), &place.root, &place.cancel).unwrap_err();
    assert_eq!(error.to_string(), "the recipe's tree has more than 64 GiB");
    place.shell("rm /hole*").unwrap();
    // Each file by itself is bounded too.
    let error = place
        .shell("dd if=/dev/zero of=/hole bs=1 count=1 seek=20000000000; exit 1")
        .unwrap_err();
    assert!(error.to_string().contains("File size limit exceeded"), "{error}");
    place.shell("rm -f /hole").unwrap();
}

pub(super) fn pack_all(place: &Place) -> Vec<u8> {
    let room = Room::of(place.range);
    pack::check(&room, &place.root, &place.cancel).unwrap();
    let mut bytes = Vec::new();
    pack::start(
        &room,
        &place.root,
        Arc::clone(&place.folder),
        Timestamp::UNIX_EPOCH,
        &place.cancel,
    )
    .unwrap()
    .read_to_end(&mut bytes)
    .unwrap();
    bytes
}

#[test]
fn no_step_of_a_recipe_gets_out_of_its_tree() {
    stays_inside(&Place::new());
}

#[test]
fn without_user_namespaces_no_step_of_a_recipe_that_root_builds_gets_out_of_its_tree() {
    if rustix::process::geteuid().is_root() {
        stays_inside(&Place::without_user_namespace());
    } else {
        // A plain user has none of the rights that it takes, and is refused.
        let place = tempfile::tempdir().unwrap();
        let folder = WorkDir::new(place.path()).unwrap();
        let tree = folder.folder("tree").unwrap();
        let command = Room::of(None).step(&tree, &tree, &tree, &["true".to_owned()]);
        assert!(command.spawn().is_err());
    }
}

/// Runs the first test as a plain user who has a range of ids, given by files that only this run sees.
#[test]
fn no_step_of_a_recipe_that_a_plain_user_builds_gets_out_of_its_tree() {
    if !rustix::process::geteuid().is_root() || std::env::var_os(AGAIN).is_some() {
        return stays_inside(&Place::new());
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let ranges = folder.path().join("ranges");
    fs::write(&ranges, "nobody:1000000000:65536\n").unwrap();
    let script = "mount --bind \"$1\" /etc/subuid; mount --bind \"$1\" /etc/subgid; shift
        exec setpriv --reuid 65534 --regid 65534 --clear-groups -- \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-euc", script, "sh"])
        .arg(&ranges)
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "build::escapes::no_step_of_a_recipe_that_a_plain_user_builds_gets_out_of_its_tree",
        ])
        .args(["--nocapture"])
        .env(AGAIN, "1")
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
