//! Real builds with mmdebstrap from the host's mirror: what comes out, and what is left when they fail or are killed.

#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catalog::recipe::build;
use catalog::{Catalog, CatalogError, ImageSource, Progress, ProgressSink, Recipe, RecipeSettings, Stage};
use progress::Cancel;
use sha2::{Digest, Sha256};

/// The base and nothing else: the fastest build there is.
const BASE: &str = "suite = \"bookworm\"\ncomponents = [\"main\"]\npackages = []\n";
/// Set in the process that `a_killed_build_…` kills.
const KILLED: &str = "CATALOG_TEST_KILLED_BUILD";

fn quiet() -> ProgressSink {
    Arc::new(|_| {})
}

/// A reader that keeps the digest of what went through it.
struct Digesting<R> {
    inner: R,
    digest: Sha256,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}

#[derive(Debug, PartialEq)]
struct File {
    mode: u32,
    owner: (u64, u64),
    link: Option<String>,
    content: String,
    modified: u64,
}

/// Everything in an archive by path, with the content of small files, and the archive's digest.
fn read_all(tar: impl Read) -> (BTreeMap<String, File>, String) {
    let mut archive = tar::Archive::new(Digesting {
        inner: tar,
        digest: Sha256::new(),
    });
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry
            .path()
            .unwrap()
            .to_string_lossy()
            .trim_start_matches('.')
            .to_owned();
        let link = entry
            .link_name()
            .unwrap()
            .map(|target| target.to_string_lossy().into_owned());
        let header = entry.header();
        let (mode, modified) = (header.mode().unwrap(), header.mtime().unwrap());
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let mut content = String::new();
        if entry.size() < 65536 {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            content = String::from_utf8_lossy(&bytes).into_owned();
        }
        files.insert(
            path,
            File {
                mode,
                owner,
                link,
                content,
                modified,
            },
        );
    }
    let mut rest = archive.into_inner();
    std::io::copy(&mut rest, &mut std::io::sink()).unwrap();
    let digest = rest
        .digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    (files, digest)
}

fn is_empty(work: &Path) -> bool {
    fs::read_dir(work).unwrap().next().is_none()
}

/// What takes long to remove is removed in the background.
fn becomes_empty(work: &Path) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_empty(work) {
        assert!(Instant::now() < deadline, "something stays");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_second_build_of_debian_minimal_gives_the_same_bytes() {
    let work = tempfile::tempdir().unwrap();
    let catalog = Catalog::embedded();
    let Some(ImageSource::Recipe { recipe, .. }) = &catalog.image("debian-minimal").unwrap().source else {
        panic!("it is built from a recipe");
    };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let progress: ProgressSink =
        Arc::new(move |progress: Progress| sink.lock().unwrap().push(progress.stage));
    let settings = RecipeSettings::default();
    let first = build(recipe, &settings, work.path(), &progress, &Cancel::new()).unwrap();
    let date = first.date;
    let (files, digest) = read_all(first.tar);
    becomes_empty(work.path());

    let stages = seen.lock().unwrap().clone();
    for stage in [
        Stage::Lists,
        Stage::Download,
        Stage::Unpack,
        Stage::Configure,
        Stage::Customize,
        Stage::Pack,
    ] {
        assert!(stages.contains(&stage), "{stage}");
    }
    let newest = files.values().map(|file| file.modified).max().unwrap();
    assert!(i64::try_from(newest).unwrap() <= date.as_second());
    holds_what_the_recipe_says(&files);
    holds_nothing_of_the_build(&files);

    let second = build(recipe, &settings, work.path(), &quiet(), &Cancel::new()).unwrap();
    assert_eq!(second.date, date);
    let (again, second_digest) = read_all(second.tar);
    for (path, file) in &files {
        assert_eq!(again.get(path), Some(file), "{path}");
    }
    assert_eq!(second_digest, digest);
}

fn holds_what_the_recipe_says(files: &BTreeMap<String, File>) {
    for path in [
        "/usr/sbin/sshd",
        "/usr/bin/git",
        "/usr/lib/systemd/systemd",
        "/usr/bin/curl",
    ] {
        assert!(
            files.contains_key(path) || files.contains_key(&path.replace("/usr/lib", "/lib")),
            "{path}"
        );
    }
    let link = |path: &str| files[path].link.clone().unwrap();
    assert!(link("/etc/systemd/system/multi-user.target.wants/ssh.service").ends_with("/ssh.service"));
    assert_eq!(link("/etc/systemd/system/getty@tty1.service"), "/dev/null");
    assert!(
        link("/etc/systemd/system/ssh.service.requires/ssh-host-key.service")
            .ends_with("/ssh-host-key.service")
    );
    let hosts = &files["/etc/hosts"];
    assert_eq!((hosts.mode, hosts.owner), (0o644, (0, 0)));
    assert!(hosts.content.starts_with("127.0.0.1 localhost\n"));
    assert!(
        files["/etc/shadow"]
            .content
            .lines()
            .any(|line| line.starts_with("root:!")),
        "the command ran"
    );
    // The guest's own apt reaches the mirror, with the mirror's keys.
    let sources = &files["/etc/apt/sources.list.d/debian.sources"].content;
    assert!(sources.contains("Suites: bookworm\n") && sources.contains("Signed-By: "));
    for path in sources
        .lines()
        .filter_map(|line| line.strip_prefix("Signed-By: /"))
    {
        assert!(files.contains_key(&format!("/{path}")), "{path}");
    }
    assert_eq!(files["/etc/machine-id"].content, "");
}

fn holds_nothing_of_the_build(files: &BTreeMap<String, File>) {
    for path in [
        "/etc/resolv.conf",
        "/etc/hostname",
        "/var/lib/dbus/machine-id",
        "/etc/passwd-",
        "/var/log/dpkg.log",
        "/var/lib/dpkg/status-old",
        "/etc/apt/apt.conf.d/99mmdebstrap",
        "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    ] {
        assert!(!files.contains_key(path), "{path}");
    }
    for (path, file) in files {
        let key = path.starts_with("/etc/ssh/ssh_host_");
        let list = path.starts_with("/var/lib/apt/lists/") && path.contains("Release");
        let archive = path.ends_with(".deb");
        let log = path.starts_with("/var/log/") && path != "/var/log/README" && !file.content.is_empty();
        assert!(!key && !list && !archive && !log, "{path}");
        assert!(!path.starts_with("/tmp/") || path == "/tmp/", "{path}");
    }
}

#[test]
fn a_command_gets_its_words_as_they_are_and_its_failure_is_told_with_its_last_line() {
    let work = tempfile::tempdir().unwrap();
    let words = r#"run = ["sh", "-c", "printf '%s|' \"$@\" >&2; echo >&2; exit 3", "sh", "a  b", "$(id)", "", "`x`", "'\"", "-n", "*"]"#;
    let text =
        format!("{BASE}[[files]]\npath = \"/etc/new folder/$(x)\"\ncontent = \"y\"\n[[commands]]\n{words}\n");
    let recipe = Recipe::parse(&text, "r.toml").unwrap();
    let error = build(
        &recipe,
        &RecipeSettings::default(),
        work.path(),
        &quiet(),
        &Cancel::new(),
    )
    .unwrap_err()
    .to_string();
    assert!(error.starts_with("the recipe's command `sh -c printf"), "{error}");
    assert!(error.ends_with("` failed: a  b|$(id)||`x`|'\"|-n|*|"), "{error}");
    becomes_empty(work.path());
}

#[test]
fn a_package_that_does_not_exist_is_named_and_nothing_is_left() {
    let work = tempfile::tempdir().unwrap();
    let recipe = Recipe::parse(&BASE.replace("[]", "[\"no-such-package\"]"), "r.toml").unwrap();
    let error = build(
        &recipe,
        &RecipeSettings::default(),
        work.path(),
        &quiet(),
        &Cancel::new(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no package no-such-package in bookworm"
    );
    becomes_empty(work.path());
}

#[test]
fn packages_are_configured_by_nobody_of_the_host_and_cancelling_leaves_no_process_and_no_folder() {
    let work = tempfile::tempdir().unwrap();
    let recipe = Recipe::parse(BASE, "r.toml").unwrap();
    let cancel = Cancel::new();
    let canceller = cancel.clone();
    let users = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&users);
    let folder = work.path().to_owned();
    let progress: ProgressSink = Arc::new(move |progress: Progress| {
        if progress.stage == Stage::Configure && progress.done.is_some() && !canceller.is_cancelled() {
            seen.lock()
                .unwrap()
                .extend(processes_in(&folder).into_iter().filter_map(user_of));
            canceller.cancel();
        }
    });
    let error = build(
        &recipe,
        &RecipeSettings::default(),
        work.path(),
        &progress,
        &cancel,
    )
    .unwrap_err();
    assert!(matches!(error, CatalogError::Cancelled), "{error}");
    becomes_empty(work.path());
    until_no_process_works_in(work.path());
    let users = users.lock().unwrap();
    assert!(users.len() > 1, "mmdebstrap, and what it started");
    for &user in users.iter() {
        if rustix::process::geteuid().is_root() {
            assert!(user >= 0x7f00_0000, "{user}");
        } else {
            assert_ne!(user, 0);
        }
    }
}

#[test]
fn a_killed_build_leaves_no_process_and_its_folder_goes_at_the_next_start() {
    if let Some(work) = std::env::var_os(KILLED) {
        let recipe = Recipe::parse(BASE, "r.toml").unwrap();
        let progress: ProgressSink = Arc::new(|progress: Progress| {
            let _ = writeln!(std::io::stdout(), "stage {}", progress.stage);
        });
        let mut tar = build(
            &recipe,
            &RecipeSettings::default(),
            Path::new(&work),
            &progress,
            &Cancel::new(),
        )
        .unwrap()
        .tar;
        tar.read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let name = "a_killed_build_leaves_no_process_and_its_folder_goes_at_the_next_start";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", name])
        .env(KILLED, work.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let configuring = lines.map_while(Result::ok).any(|line| line == "stage configure");
    assert!(configuring, "the build got that far");
    assert!(
        !processes_in(work.path()).is_empty(),
        "processes are found by their environment"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    until_no_process_works_in(work.path());
    assert!(!is_empty(work.path()));
    catalog::LeftWork::find(work.path()).unwrap().remove().unwrap();
    assert!(is_empty(work.path()));
}

/// Who a process is on the host.
fn user_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Processes that were started for a build: a mount of the folder is among theirs, or the folder stands in their
/// environment or arguments.
fn processes_in(work: &Path) -> Vec<u32> {
    let needle = work.to_str().unwrap().as_bytes();
    let own = std::process::id();
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let holds = |name: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            bytes.windows(needle.len()).any(|window| window == needle)
        };
        *pid != own && (holds("mountinfo") || holds("environ") || holds("cmdline"))
    })
    .collect()
}

fn until_no_process_works_in(work: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left = processes_in(work);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {left:?}");
        std::thread::yield_now();
    }
}
