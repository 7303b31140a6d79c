//! What a test has left behind: processes, files, mounts and sockets of one state directory.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use process::{Identity, Signal};

/// How long a process that is ending may take to be gone.
const ENDING: Duration = Duration::from_secs(10);

/// What there was of a state directory at one moment.
///
/// A process belongs to the directory if the directory's path is on its command line, or holds its working
/// directory or one of its open files. The test's own process does not count.
#[derive(Clone, Debug)]
pub struct Leaks {
    folder: PathBuf,
    ignored: Vec<PathBuf>,
    before: Found,
}

#[derive(Clone, Debug, Default)]
struct Found {
    processes: Vec<Identity>,
    files: BTreeSet<PathBuf>,
    mounts: BTreeSet<String>,
    sockets: BTreeSet<String>,
}

impl Leaks {
    /// Remembers what there is now.
    #[must_use]
    pub fn snapshot(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let before = Found::of(&folder);
        Self {
            folder,
            ignored: Vec::new(),
            before,
        }
    }

    /// Files that may appear: paths below the folder, with all that is below them.
    #[must_use]
    pub fn ignoring(mut self, paths: &[&str]) -> Self {
        self.ignored
            .extend(paths.iter().map(|path| self.folder.join(path)));
        self
    }

    /// Fails if anything has appeared since. A process that is just ending is waited for.
    ///
    /// # Panics
    /// With a list of what was left.
    pub async fn assert_none_since(&self) {
        for process in self.new_processes(&Found::of(&self.folder)) {
            if let Some(handle) = process.open() {
                let _ = tokio::time::timeout(ENDING, handle.wait()).await;
            }
        }
        let deadline = Instant::now() + ENDING;
        let mut left = self.left();
        // A child that another test is just starting has this test's files open, until it closes them.
        while !left.is_empty()
            && left.iter().all(|line| line.starts_with("process "))
            && Instant::now() < deadline
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
            left = self.left();
        }
        assert!(
            left.is_empty(),
            "left behind in {}:\n  {}",
            self.folder.display(),
            left.join("\n  ")
        );
    }

    /// What has appeared since, one line each.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let now = Found::of(&self.folder);
        let processes = self
            .new_processes(&now)
            .into_iter()
            .map(|process| format!("process {}: {}", process.pid, command_line(process.pid)));
        let files = now
            .files
            .difference(&self.before.files)
            .filter(|path| !self.ignored.iter().any(|ignored| path.starts_with(ignored)))
            .map(|path| format!("file {}", path.display()));
        let mounts = now
            .mounts
            .difference(&self.before.mounts)
            .map(|mount| format!("mount {mount}"));
        let sockets = now
            .sockets
            .difference(&self.before.sockets)
            .map(|socket| format!("socket {socket}"));
        processes.chain(files).chain(mounts).chain(sockets).collect()
    }

    fn new_processes(&self, now: &Found) -> Vec<Identity> {
        now.processes
            .iter()
            .filter(|process| !self.before.processes.contains(process))
            .cloned()
            .collect()
    }
}

impl Found {
    fn of(folder: &Path) -> Self {
        let mut found = Self {
            processes: processes_of(folder),
            ..Self::default()
        };
        collect_files(folder, &mut found.files);
        found.mounts = fields_below("/proc/self/mountinfo", 4, folder);
        found.sockets = fields_below("/proc/net/unix", 7, folder);
        found
    }
}

/// Ends what a test has left running of a state directory: processes with its path on their command line.
pub fn end_processes_of(folder: &Path) {
    for process in processes_of(folder) {
        if named(process.pid, folder)
            && let Some(handle) = process.open()
        {
            let _ = handle.kill(Signal::KILL);
        }
    }
}

/// Processes other than this one that have to do with `folder`. One that ends while it is looked at is none.
#[must_use]
pub fn processes_of(folder: &Path) -> Vec<Identity> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| pid != std::process::id() && belongs_to(pid, folder))
        .filter_map(|pid| Identity::of(pid).ok())
        .collect()
}

fn belongs_to(pid: u32, folder: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let links_below = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(folder));
    named(pid, folder)
        || links_below(&process.join("cwd"))
        || fs::read_dir(process.join("fd")).is_ok_and(|descriptors| {
            descriptors
                .flatten()
                .any(|descriptor| links_below(&descriptor.path()))
        })
}

fn named(pid: u32, folder: &Path) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| contains(&line, folder.as_os_str().as_encoded_bytes()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

fn command_line(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

fn collect_files(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_files(&path, files);
        }
        files.insert(path);
    }
}

/// The paths below `folder` in one column of a table that the kernel gives.
fn fields_below(table: &str, column: usize, folder: &Path) -> BTreeSet<String> {
    let lines: io::Result<String> = fs::read(table).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let lines = lines.unwrap_or_default();
    let fields = lines
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(column));
    fields
        .filter(|field| Path::new(field).starts_with(folder))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn nothing_left_is_nothing_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("before"), "").unwrap();
        let leaks = Leaks::snapshot(folder.path()).ignoring(&["kept"]);
        fs::create_dir_all(folder.path().join("kept/below")).unwrap();
        fs::write(folder.path().join("gone"), "").unwrap();
        fs::remove_file(folder.path().join("gone")).unwrap();
        leaks.assert_none_since().await;
    }

    #[test]
    fn a_file_a_socket_and_a_folder_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let leaks = Leaks::snapshot(folder.path());
        fs::create_dir(folder.path().join("vms")).unwrap();
        fs::write(folder.path().join("vms/layer.ext4"), "").unwrap();
        let _listener = UnixListener::bind(folder.path().join("a.sock")).unwrap();
        let left = leaks.left().join("\n");
        for expected in ["/vms", "/vms/layer.ext4", "file", "a.sock", "socket"] {
            assert!(left.contains(expected), "{left}");
        }
    }

    #[test]
    fn a_process_is_found_by_its_arguments_its_folder_and_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let leaks = Leaks::snapshot(folder.path());
        let log = || fs::File::create(folder.path().join("log")).unwrap();
        let mut by_argument = Command::new("sh");
        by_argument.args(["-c", "read line", folder.path().to_str().unwrap()]);
        let mut by_folder = Command::new("cat");
        by_folder.current_dir(folder.path());
        let mut by_file = Command::new("cat");
        by_file.stdout(log());
        for mut command in [by_argument, by_folder, by_file] {
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            // `spawn` returns in mid exec: the kernel closes what tells it to before it sets the new arguments.
            let line = format!("process {}: ", child.id());
            let deadline = Instant::now() + ENDING;
            let mut left = leaks.left();
            while !left.iter().any(|left| left.starts_with(&line)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
                left = leaks.left();
            }
            assert!(left.iter().any(|left| left.starts_with(&line)), "{left:?}");
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    #[tokio::test]
    #[should_panic(expected = "left behind in")]
    async fn what_is_left_fails_the_test() {
        let folder = tempfile::tempdir().unwrap();
        let leaks = Leaks::snapshot(folder.path());
        fs::write(folder.path().join("left"), "").unwrap();
        leaks.assert_none_since().await;
    }
}
