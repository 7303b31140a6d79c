//! Programs that end with us, confined.
//!
//! Each is killed with all that it started on cancelling, on dropping, when it takes longer than it may, and when its
//! first process ends. If this process is killed, the kernel kills the program. That is tied to the *thread* that started
//! the program, so a thread stays with each from start to end; it also reads the program's complaints.

mod complaints;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufReader, PipeReader, Read as _};
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use process::{Child, Command, Ending, ProcessError, Stream};

use crate::error::CatalogError;
use complaints::{Watched, read_lines};
use progress::{Cancel, Guard};

/// Lines of complaints that are kept: enough to find the cause before the cleaning up that follows it.
const KEPT_LINES: usize = 60;
/// How long the end of a program may go unseen that closed its complaints, or left them to a process that it does not
/// take along.
const TICK: Duration = Duration::from_millis(200);

/// Makes the error for a program that failed, from how it ended and its last lines.
pub(crate) type Explain = Box<dyn FnOnce(Ended, &[String]) -> CatalogError + Send>;
/// Sees each line of complaints or progress.
pub(crate) type OnLine = Box<dyn FnMut(&str) + Send>;

/// A program to run.
pub(crate) struct Program {
    /// Its name, for messages.
    pub tool: &'static str,
    /// Program and arguments, ready to run. Where its output goes is set here.
    pub command: Command,
    /// How long it may take.
    pub time: Option<Duration>,
    /// Whether its output is a part of its complaints.
    pub merged: bool,
    /// Sees the lines that it writes to standard error.
    pub on_line: OnLine,
    /// Explains a failure.
    pub explain: Explain,
}

/// How a program ended that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself.
    As(Ending),
    /// It was ended after it had taken as long as it may.
    TooLong(Duration),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::As(Ending::Signalled(number)) => write!(f, "killed by signal {number}"),
            Self::As(ending) => write!(f, "{ending}"),
            Self::TooLong(time) if time.as_secs() < 120 => {
                write!(f, "it took longer than {} seconds", time.as_secs())
            }
            Self::TooLong(time) => write!(f, "it took longer than {} minutes", time.as_secs() / 60),
        }
    }
}

/// `PATH` with the folders that every system has: sbin is not on every user's, and dpkg wants ldconfig, a build chroot.
pub(crate) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path
}

/// Where a program of `PATH` is.
pub(crate) fn find(tool: &'static str, package: &'static str) -> Result<PathBuf, CatalogError> {
    std::env::split_paths(&search_path())
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(tool))
        .find(|path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok())
        .ok_or(CatalogError::ToolMissing { tool, package })
}

/// Ends a program from any thread.
struct Killer(Mutex<Child>);

impl Killer {
    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self) {
        self.child().kill();
    }
}

/// A program that runs.
pub(crate) struct Running {
    stdout: Option<PipeReader>,
    killer: Arc<Killer>,
    supervisor: Option<JoinHandle<Result<(), CatalogError>>>,
    cancel: Cancel,
    _registration: Guard,
}

impl Program {
    /// Starts it.
    pub(crate) fn start(self, cancel: &Cancel) -> Result<Running, CatalogError> {
        if cancel.is_cancelled() {
            return Err(CatalogError::Cancelled);
        }
        let tool = self.tool;
        let (started, starting) = mpsc::sync_channel(1);
        let supervisor = std::thread::Builder::new()
            .name(format!("{tool} supervisor"))
            .spawn(move || supervise(self, &started))
            .map_err(|source| CatalogError::Spawn { tool, source })?;
        let (stdout, killer) = match starting.recv() {
            Ok(Ok(running)) => running,
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                return Err(CatalogError::Spawn {
                    tool,
                    source: io::Error::other("its supervisor ended"),
                });
            }
        };
        let registration = cancel.on_cancel({
            let killer = Arc::clone(&killer);
            move || killer.kill()
        });
        Ok(Running {
            stdout,
            killer,
            supervisor: Some(supervisor),
            cancel: cancel.clone(),
            _registration: registration,
        })
    }
}

type Started = mpsc::SyncSender<Result<(Option<PipeReader>, Arc<Killer>), CatalogError>>;

/// Starts a command; gives it with what it complains to.
fn spawn(mut command: Command, merged: bool) -> Result<(Child, Option<PipeReader>), ProcessError> {
    if !merged {
        command.output(Stream::Pipe).errors(Stream::Pipe);
        let mut child = command.spawn()?;
        let complaints = child.stderr.take();
        return Ok((child, complaints));
    }
    let cannot = |source| ProcessError::Fork {
        program: PathBuf::new(),
        source,
    };
    let (reader, writer) = io::pipe().map_err(cannot)?;
    let second = writer.try_clone().map_err(cannot)?;
    command
        .output(Stream::Given(writer.into()))
        .errors(Stream::Given(second.into()));
    Ok((command.spawn()?, Some(reader)))
}

fn not_started(tool: &'static str, error: ProcessError) -> CatalogError {
    let source = match error {
        ProcessError::Execute { source, .. } | ProcessError::Fork { source, .. } => source,
        ProcessError::Confine { source, .. } => {
            return CatalogError::NotConfined {
                tool,
                reason: source.reason(),
            };
        }
        other => io::Error::other(other),
    };
    CatalogError::Spawn { tool, source }
}

fn supervise(program: Program, started: &Started) -> Result<(), CatalogError> {
    let Program {
        tool,
        command,
        time,
        merged,
        mut on_line,
        explain,
    } = program;
    let (mut child, complaints) = match spawn(command, merged) {
        Ok(spawned) => spawned,
        Err(error) => {
            let _ = started.send(Err(not_started(tool, error)));
            return Err(CatalogError::ToolFailed {
                tool,
                reason: "it was not started".into(),
            });
        }
    };
    let stdout = child.stdout.take();
    let killer = Arc::new(Killer(Mutex::new(child)));
    // The caller is gone, and so must be the program.
    if started.send(Ok((stdout, Arc::clone(&killer)))).is_err() {
        killer.kill();
    }
    let mut kept = VecDeque::new();
    let watched = Watched {
        reader: complaints,
        killer: &killer,
        until: time.and_then(|time| Instant::now().checked_add(time)),
        late: false,
        ending: None,
    };
    let mut reader = BufReader::new(watched);
    let reading = read_lines(&mut reader, |line| {
        on_line(line);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line.to_owned());
    });
    if reading.is_err() {
        killer.kill();
    }
    let mut watched = reader.into_inner();
    let ended = loop {
        if let Some(ending) = watched
            .look(TICK)
            .map_err(|source| CatalogError::Spawn { tool, source })?
        {
            break ending;
        }
    };
    let ended = match time {
        Some(time) if watched.late => Ended::TooLong(time),
        _ if ended == Ending::Exited(0) => return Ok(()),
        _ => Ended::As(ended),
    };
    let kept: Vec<String> = kept.into();
    Err(explain(ended, &kept))
}

impl Running {
    /// Reads all of its output, at most `limit` bytes, and waits for its end.
    pub(crate) fn output(mut self, limit: u64) -> Result<Vec<u8>, CatalogError> {
        let mut bytes = Vec::new();
        if let Some(stdout) = self.stdout.take() {
            let mut stdout = stdout.take(limit);
            let _ = stdout.read_to_end(&mut bytes);
            if bytes.len() as u64 == limit {
                self.killer.kill();
            }
        }
        self.wait()?;
        Ok(bytes)
    }

    /// Calls `line` for each line of its output and waits for its end.
    pub(crate) fn lines(self, mut line: impl FnMut(&str)) -> Result<(), CatalogError> {
        self.lines_while(|text| {
            line(text);
            true
        })
    }

    /// The same, until `line` says that it has seen enough: then the program is ended, and that is well.
    pub(crate) fn lines_while(mut self, mut line: impl FnMut(&str) -> bool) -> Result<(), CatalogError> {
        let mut enough = false;
        if let Some(stdout) = self.stdout.take() {
            let _ = read_lines(BufReader::new(stdout), |text| {
                if !enough && !line(text) {
                    enough = true;
                    self.killer.kill();
                }
            });
        }
        match self.wait() {
            Err(CatalogError::Cancelled) => Err(CatalogError::Cancelled),
            _ if enough => Ok(()),
            ended => ended,
        }
    }

    /// Its output, from here on the caller's.
    pub(crate) fn take_output(&mut self) -> Option<PipeReader> {
        self.stdout.take()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<(), CatalogError> {
        let Some(supervisor) = self.supervisor.take() else {
            return Ok(());
        };
        let ended = supervisor.join();
        // A program that had ended well before it was cancelled has ended well; its caller goes on and sees it.
        match ended {
            Ok(Ok(())) => Ok(()),
            _ if self.cancel.is_cancelled() => Err(CatalogError::Cancelled),
            Ok(Err(error)) => Err(error),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stdout = None;
        if let Some(supervisor) = self.supervisor.take() {
            self.killer.kill();
            let _ = supervisor.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar_stream::TarStream;

    fn shell(script: &str) -> Program {
        let mut command = Command::new("/bin/sh");
        command
            .arguments(["-c", script])
            .variable("PATH", "/usr/bin:/bin");
        Program {
            tool: "sh",
            command,
            time: None,
            merged: false,
            on_line: Box::new(|_| {}),
            explain: Box::new(|ended, lines| CatalogError::ToolFailed {
                tool: "sh",
                reason: format!("{ended}: {}", lines.join("|")),
            }),
        }
    }

    fn read(program: Program) -> (Vec<u8>, io::Result<usize>) {
        let mut bytes = Vec::new();
        let mut stream = TarStream::new(program.start(&Cancel::new()).unwrap(), None);
        let result = stream.read_to_end(&mut bytes);
        (bytes, result)
    }

    #[test]
    fn a_program_that_ends_well_gives_all_it_wrote() {
        let (bytes, result) = read(shell("printf hello; exit 0"));
        assert_eq!((bytes.as_slice(), result.unwrap()), (b"hello".as_slice(), 5));
    }

    #[test]
    fn a_program_that_fails_after_writing_is_an_error_and_never_a_short_stream() {
        for (script, reason) in [
            ("printf half; echo why >&2; exit 3", "exit code 3: why"),
            ("printf half; kill -9 $$", "killed by signal 9: "),
        ] {
            let (bytes, result) = read(shell(script));
            assert_eq!(bytes, b"half");
            let error = result.unwrap_err();
            let error = CatalogError::of_stream(&error).unwrap();
            assert_eq!(error.to_string(), format!("sh failed: {reason}"));
        }
    }

    #[test]
    fn finishing_checks_the_end_for_a_reader_that_stopped_early() {
        let mut stream = TarStream::new(shell("printf hello; exit 3").start(&Cancel::new()).unwrap(), None);
        stream.read_exact(&mut [0; 2]).unwrap();
        assert!(stream.finish().is_err());
        let stream = TarStream::new(shell("printf hello").start(&Cancel::new()).unwrap(), None);
        stream.finish().unwrap();
    }

    #[test]
    fn cancelling_kills_the_whole_group_and_says_cancelled() {
        let cancel = Cancel::new();
        // The grandchild holds both outputs open: only its death ends the reading.
        let running = shell("sleep 600 & echo ready; wait").start(&cancel).unwrap();
        let result = running.lines(|line| {
            assert_eq!(line, "ready");
            cancel.cancel();
        });
        assert!(matches!(result, Err(CatalogError::Cancelled)));
        assert!(matches!(
            shell("true").start(&cancel),
            Err(CatalogError::Cancelled)
        ));
    }

    #[test]
    fn dropping_a_stream_kills_its_program() {
        let mut stream = TarStream::new(
            shell("echo $$; sleep 600 & wait").start(&Cancel::new()).unwrap(),
            None,
        );
        let mut bytes = [0; 32];
        let read = stream.read(&mut bytes).unwrap();
        let pid = std::str::from_utf8(&bytes[..read]).unwrap().trim().to_owned();
        assert!(std::path::Path::new("/proc").join(&pid).exists());
        drop(stream);
        assert!(!std::path::Path::new("/proc").join(&pid).exists());
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find("no-such-program", "some-package").unwrap_err();
        assert_eq!(error.to_string(), "no-such-program is not installed");
        assert_eq!(error.hint().unwrap(), "apt-get install some-package");
    }

    #[test]
    fn complaints_are_bounded_and_carry_no_terminal_sequences() {
        let script = "head -c 1000000 /dev/zero | tr '\\0' x >&2; printf '\\033[31mred\\n' >&2; exit 1";
        let error = shell(script)
            .start(&Cancel::new())
            .unwrap()
            .output(10)
            .unwrap_err()
            .to_string();
        assert!(error.len() < 300_000 && !error.contains('\u{1b}') && error.ends_with("[31mred"));
    }

    #[test]
    fn a_program_that_takes_longer_than_it_may_is_ended_and_that_is_told_though_it_writes_all_the_time() {
        for script in [
            "exec sleep 600",
            "while :; do echo x >&2; done",
            "exec 2>&-; sleep 600",
        ] {
            let program = Program {
                time: Some(Duration::from_millis(300)),
                ..shell(script)
            };
            let error = program.start(&Cancel::new()).unwrap().output(10).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("sh failed: it took longer than 0 seconds: "),
                "{error}"
            );
        }
    }

    #[test]
    fn what_a_merged_program_writes_is_among_its_complaints() {
        let program = Program {
            merged: true,
            ..shell("echo out; echo err >&2; exit 1")
        };
        let error = program.start(&Cancel::new()).unwrap().lines(|_| {}).unwrap_err();
        assert_eq!(error.to_string(), "sh failed: exit code 1: out|err");
    }
}
