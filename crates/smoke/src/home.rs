//! A user's home with a kernel and an image, and `banger` in it.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Use, kept};

/// Longest that a command may take; a first image is built from nothing, and so is a kernel.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Surroundings of one scenario. Dropped, its VMs are deleted and its daemon ends.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    lines: Mutex<Vec<Vec<String>>>,
}

/// What a command left.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its stdout.
    pub out: String,
    /// Its stderr.
    pub err: String,
}

impl Home {
    /// One with the small image, which is its default, and its kernel.
    #[must_use]
    pub fn new() -> Self {
        let home = Self::bare();
        kept::link_into(&home.state());
        home
    }

    /// One with nothing.
    pub(crate) fn bare() -> Self {
        let home = Self {
            folder: tempfile::Builder::new().prefix("smoke").tempdir().unwrap(),
            lines: Mutex::default(),
        };
        // What banger's own default has besides would only take longer to build.
        home.configure("default_image_name = \"debian-minimal\"");
        home
    }

    /// Where a scenario may put files.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The daemon's state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path().join("state/banger")
    }

    /// Adds a line to the configuration; a daemon reads it when it starts.
    pub fn configure(&self, line: &str) {
        let folder = self.path().join("config/banger");
        fs::create_dir_all(&folder).unwrap();
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(folder.join("config.toml"))
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// Writes a file of the user's; gives its path as an argument.
    #[must_use]
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `banger` with these arguments, noted as used.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let line = arguments.iter().map(|word| (*word).to_owned()).collect();
        self.lines.lock().unwrap().push(line);
        let mut command = Command::new(binaries().join("banger"));
        command.args(arguments);
        self.surround(&mut command);
        command
    }

    /// A program with this home.
    #[must_use]
    pub fn surrounded(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        self.surround(&mut command);
        command
    }

    /// Gives a command this home, and nothing of the caller's surroundings but PATH.
    fn surround(&self, command: &mut Command) {
        let folder = self.path();
        let mut path = vec![binaries()];
        path.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        command
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder.join("config"))
            .env("XDG_STATE_HOME", folder.join("state"))
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .env("XDG_RUNTIME_DIR", folder.join("run"))
            .env("TERM", "xterm")
            .current_dir(folder)
            .stdin(Stdio::null());
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with_stdin(arguments, b"")
    }

    /// Runs a command with this on its stdin.
    #[must_use]
    pub fn run_with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Finished {
        finish(self.command(arguments), stdin)
    }

    /// Begins to run a command that goes on; it ends when what this gives is dropped.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        Running { child, out }
    }

    /// Runs a command that must succeed, and gives its output.
    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert_eq!(
            finished.code,
            Some(0),
            "banger {}: {}",
            arguments.join(" "),
            finished.err
        );
        finished.out
    }

    /// Runs another program of the host, in which `banger` is on PATH, that must succeed; gives its output.
    pub fn host(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments);
        self.surround(&mut command);
        let finished = finish(command, b"");
        assert_eq!(
            finished.code,
            Some(0),
            "{program} {}: {}",
            arguments.join(" "),
            finished.err
        );
        finished.out
    }

    /// Runs a command in a terminal of its own (`script(1)`): waits for each text and then types what belongs to it.
    /// The command must succeed. Gives what the screen showed.
    pub fn in_terminal(&self, arguments: &[&str], dialogue: &[(&str, &str)]) -> String {
        let banger = self.command(arguments);
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command"]);
        let words: Vec<String> = std::iter::once(banger.get_program())
            .chain(banger.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        command.arg(words.join(" ")).arg("/dev/null");
        self.surround(&mut command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shown = String::new();
        for (text, typed) in dialogue {
            shown += &read_until(&mut screen, text);
            keys.write_all(typed.as_bytes()).unwrap();
        }
        let mut rest = Vec::new();
        screen.read_to_end(&mut rest).unwrap();
        shown += &String::from_utf8_lossy(&rest);
        let status = child.wait().unwrap();
        assert!(
            status.success(),
            "banger {}: {status}: {shown}",
            arguments.join(" ")
        );
        shown
    }

    /// What a scenario says it uses and has not used.
    pub(crate) fn unused(&self, mut uses: impl Iterator<Item = Use>) -> Option<String> {
        let lines = self.lines.lock().unwrap();
        uses.find_map(|used| used.missing_in(&lines))
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A scenario that failed may have left anything.
        let ids = self.run(&["ps", "-a", "-q"]).out;
        let ids: Vec<&str> = ids.lines().collect();
        if !ids.is_empty() {
            drop(self.run(&[&["vm", "delete"], ids.as_slice()].concat()));
        }
        drop(self.run(&["daemon", "stop"]));
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: ChildStdout,
}

impl Running {
    /// Its stdout.
    pub fn out(&mut self) -> &mut ChildStdout {
        &mut self.out
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end. What it prints goes to files: a reader of pipes would wait for whoever inherits them.
fn finish(mut command: Command, stdin: &[u8]) -> Finished {
    let [mut input, mut out, mut err] = [(); 3].map(|()| tempfile::tempfile().unwrap());
    input.write_all(stdin).unwrap();
    input.rewind().unwrap();
    let mut child = command
        .stdin(input)
        .stdout(out.try_clone().unwrap())
        .stderr(err.try_clone().unwrap())
        .spawn()
        .unwrap();
    let code = wait(&mut child);
    let [out, err] = [&mut out, &mut err].map(text);
    Finished { code, out, err }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait(child: &mut Child) -> Option<i32> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("a command has not ended within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads a stream up to a text.
pub(crate) fn read_until(stream: &mut impl Read, text: &str) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(text.as_bytes()) {
        let count = stream.read(&mut byte).unwrap_or(0);
        assert_eq!(
            count,
            1,
            "ended before {text:?}: {}",
            String::from_utf8_lossy(&read)
        );
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Waits for something that has no event of its own.
pub(crate) fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A script of the project's.
pub(crate) fn script(name: &str) -> PathBuf {
    root().join("scripts").join(name)
}

/// What scripts build by hand.
pub(crate) fn built(name: &str) -> PathBuf {
    root().join("build/manual").join(name)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the binaries are that are tried.
#[must_use]
pub fn binaries() -> PathBuf {
    let folder = std::env::var_os("BANGER_TEST_BIN").map_or_else(|| root().join("build/bin"), PathBuf::from);
    for name in ["banger", "bangerd", "banger-vsock-agent"] {
        let binary = folder.join(name);
        assert!(
            binary.is_file(),
            "{} is missing: run `make build`",
            binary.display()
        );
    }
    folder.canonicalize().unwrap()
}
