//! Running `banger` as a user does, in surroundings of the test's own.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::FakeDaemon;

/// Longest wait for something that must happen; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command left.
pub struct Finished {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Finished {
    /// As on a screen: streams and code, for snapshots.
    pub fn screen(&self) -> String {
        let mut screen = self.out.clone();
        for line in self.err.lines() {
            screen.push_str(&format!("2> {line}\n"));
        }
        format!("{screen}[{}]", self.code)
    }
}

/// A `banger` that runs.
pub struct Client {
    child: Child,
}

impl FakeDaemon {
    /// `banger` with these arguments, and nothing of the caller's surroundings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = surroundings(Path::new(env!("CARGO_BIN_EXE_banger")), self.folder());
        command.env("BANGER_SOCKET", self.socket()).args(arguments);
        command
    }

    /// Runs it to its end, without stdin.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).finish()
    }

    /// Runs it with this on stdin.
    pub fn run_with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Finished {
        let mut client = Client {
            child: piped(self.command(arguments))
                .stdin(Stdio::piped())
                .spawn()
                .unwrap(),
        };
        let mut pipe = client.child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A command that does not read its stdin breaks the pipe.
            scope.spawn(move || drop(pipe.write_all(stdin)));
            client.finish()
        })
    }

    /// Begins to run it.
    pub fn start(&self, arguments: &[&str]) -> Client {
        Client {
            child: piped(self.command(arguments)).spawn().unwrap(),
        }
    }
}

impl Client {
    pub fn of(command: &mut Command) -> Self {
        Self {
            child: command.spawn().unwrap(),
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Whether it has not ended yet.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Reads its stdout up to a text.
    pub fn read_out_until(&mut self, text: &str) -> String {
        read_until(self.child.stdout.as_mut().unwrap(), text)
    }

    /// Reads its stderr up to a text.
    pub fn read_err_until(&mut self, text: &str) -> String {
        read_until(self.child.stderr.as_mut().unwrap(), text)
    }

    /// Closes the reading end of its stdout.
    pub fn close_out(&mut self) {
        self.child.stdout = None;
    }

    /// Waits for its end; what was read before is not in it.
    pub fn finish(self) -> Finished {
        let output = self.child.wait_with_output().unwrap();
        Finished {
            code: code(output.status),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Waits until this signal has ended it.
    pub fn ended_by(mut self, signal: Signal) {
        assert_eq!(self.child.wait().unwrap().signal(), Some(signal as i32));
    }

    /// Waits for its end, by whatever.
    pub fn status(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> i32 {
        code(self.child.wait().unwrap())
    }
}

/// The code that it exited with.
fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| panic!("banger must exit by itself, and has: {status}"))
}

/// Reads up to a text, byte by byte: the rest stays.
pub fn read_until(stream: &mut impl Read, text: &str) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&bytes).contains(text) {
        let read = stream.read(&mut byte).unwrap_or(0);
        assert_eq!(
            read,
            1,
            "ended before {text:?}: {}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.push(byte[0]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Looks until something holds that gives no sign of its own.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A `banger` that has `bangerd` beside it: the freshly built ones.
pub fn banger_beside_its_daemon() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_banger"));
    let built = std::env::var_os("BANGER_TEST_BIN").map(|folder| PathBuf::from(folder).join("banger"));
    let banger = built.unwrap_or(own);
    assert!(
        banger.with_file_name("bangerd").exists(),
        "no bangerd beside {}: make build",
        banger.display()
    );
    banger
}

/// A program whose home is `home`, and that knows nothing of the caller's surroundings.
pub fn surroundings(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .env("TERM", "xterm");
    command
}

fn piped(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
