//! A command of banger's that ended, or was ended: what it said, and whether that is fit for a terminal.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a user waits before he has had enough.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a command may take to end when it is asked to.
const ENDING: Duration = Duration::from_secs(20);
/// What is kept of a stream; the rest is counted.
const KEPT: usize = 1 << 20;
/// Longest line, and most lines, that a command complains in.
const LONGEST_LINE: usize = 64 << 10;
const MOST_LINES: usize = 60;

/// What became of it.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its output, the beginning of it.
    pub out: String,
    /// What it complained of, likewise.
    pub err: String,
    /// Whether it was asked to end.
    pub asked: bool,
}

/// Runs a command to its end; asks it to end where that takes longer than a user waits.
///
/// # Panics
/// It cannot be started, or does not end though it was asked to.
pub fn run(command: &mut Command, patience: Option<Duration>) -> Ended {
    let patience = patience.unwrap_or(PATIENCE);
    run_until(command, |elapsed| elapsed > patience)
}

/// Runs a command to its end; asks it to end when its user has had enough, which may go by what it has come to.
///
/// # Panics
/// As [`run`].
pub fn run_until(command: &mut Command, enough: impl FnMut(Duration) -> bool) -> Ended {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = keep(child.stdout.take().unwrap());
    let err = keep(child.stderr.take().unwrap());
    let mut asked = false;
    let status = match wait(&mut child, enough) {
        Some(status) => status,
        None => {
            asked = true;
            // What runs a command hands signals on to it, and a guest's command may do with them as it likes.
            let hands_on = command.get_args().any(|word| word == "exec" || word == "ssh");
            let signal = if hands_on {
                Signal::SIGKILL
            } else {
                Signal::SIGTERM
            };
            kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
            wait(&mut child, |elapsed| elapsed > ENDING).unwrap_or_else(|| {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{command:?} does not end though it was asked to")
            })
        }
    };
    Ended {
        status,
        out: out.join().unwrap(),
        err: err.join().unwrap(),
        asked,
    }
}

fn wait(child: &mut Child, mut enough: impl FnMut(Duration) -> bool) -> Option<ExitStatus> {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if enough(since.elapsed()) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn keep(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read) = stream.read(&mut buffer) {
            if read == 0 {
                break;
            }
            let room = KEPT.saturating_sub(kept.len()).min(read);
            kept.extend_from_slice(&buffer[..room]);
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

impl Ended {
    /// It ended by its own word, or as it was asked to.
    ///
    /// # Panics
    /// It did not.
    pub fn check_code(&self, what: &str) {
        let fine = match self.status.code() {
            Some(0..=2) => true,
            // As a shell says of a signal.
            Some(code) => self.asked && (129..=159).contains(&code),
            None => self.asked,
        };
        let said: String = self.err.escape_debug().take(1000).collect();
        assert!(fine, "{what}: {}: {said}", self.status);
        assert!(!crate::panicked(&self.err), "{what}: {said}");
        assert!(
            self.status.success() || self.asked || self.err.contains("banger: "),
            "{what}: {} without a word: {said}",
            self.status,
        );
    }

    /// Likewise, and what it complained of is few lines, each whole and plain.
    ///
    /// # Panics
    /// It is not so.
    pub fn check(&self, what: &str) {
        self.check_code(what);
        assert_plain(&self.err, what);
        let lines = self.err.lines().count();
        assert!(lines <= MOST_LINES, "{what}: {lines} lines");
        let longest = self.err.lines().map(str::len).max().unwrap_or(0);
        assert!(longest <= LONGEST_LINE, "{what}: a line of {longest} bytes");
    }
}

/// Fails for whatever a terminal would obey, or a reader not see.
///
/// # Panics
/// There is such a thing.
pub fn assert_plain(text: &str, what: &str) {
    let odd = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}');
    assert!(!text.contains(odd), "{what} steers the terminal: {text:?}");
    let made_up = text.lines().any(|line| line.starts_with("banger: evil"));
    assert!(!made_up, "{what}: a guest makes up a line: {text:?}");
}
