//! Programs that end with us.
//!
//! Each runs in a process group of its own, which is killed whole on cancelling, on dropping and when its leader ends.
//! If this process is killed, the kernel kills the program (`PR_SET_PDEATHSIG`, set by setpriv(1)). That signal is
//! tied to the *thread* that started the program, so a thread stays with each from start to end; it also reads the
//! program's complaints.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::cancel::{Cancel, Registration};
use crate::error::CatalogError;

/// Lines of complaints that are kept: enough to find the cause before the cleaning up that follows it.
const KEPT_LINES: usize = 60;
/// Bytes of a line that are kept.
const KEPT_LINE: u64 = 4096;

/// Makes the error for a program that failed, from its exit and its last lines.
pub(crate) type Explain = Box<dyn FnOnce(ExitStatus, &[String]) -> CatalogError + Send>;
/// Sees each line of complaints or progress.
pub(crate) type OnLine = Box<dyn FnMut(&str) + Send>;

/// A program to run.
pub(crate) struct Program {
    /// Its name, for messages.
    pub tool: &'static str,
    /// Debian package that has it.
    pub package: &'static str,
    /// Program and arguments, ready to run.
    pub command: Command,
    /// Sees the lines that it writes to standard error.
    pub on_line: OnLine,
    /// Explains a failure.
    pub explain: Explain,
}

/// A command for `tool` with a clean environment: only what decides how programs reach the network is passed on.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command.env("PATH", search_path());
    for name in [
        "http_proxy",
        "https_proxy",
        "ftp_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    ] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// `PATH` with the folders that every system has: sbin is not on every user's, and dpkg wants ldconfig, a build chroot.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path
}

/// The same, run by setpriv(1) so that it is killed when we are.
pub(crate) fn dying_command(program: &str) -> Command {
    let mut command = command("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Whether a program is on `PATH`.
pub(crate) fn require(tool: &'static str, package: &'static str) -> Result<(), CatalogError> {
    let found = std::env::split_paths(&search_path())
        .any(|folder| rustix::fs::access(folder.join(tool), rustix::fs::Access::EXEC_OK).is_ok());
    if found {
        Ok(())
    } else {
        Err(CatalogError::ToolMissing { tool, package })
    }
}

/// Guards against signalling a process id that has been given to somebody else.
struct Killer {
    group: Pid,
    reaped: Mutex<bool>,
}

impl Killer {
    fn kill(&self) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // Fails only if the whole group is gone, which is as good.
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}

/// A program that runs.
pub(crate) struct Running {
    stdout: Option<ChildStdout>,
    killer: Arc<Killer>,
    supervisor: Option<JoinHandle<Result<(), CatalogError>>>,
    cancel: Cancel,
    _registration: Registration,
}

impl Program {
    /// Starts it.
    pub(crate) fn start(self, cancel: &Cancel) -> Result<Running, CatalogError> {
        if cancel.is_cancelled() {
            return Err(CatalogError::Cancelled);
        }
        require("setpriv", "util-linux")?;
        require(self.tool, self.package)?;
        let tool = self.tool;
        let (started, starting) = mpsc::sync_channel(1);
        let supervisor = std::thread::Builder::new()
            .name(format!("{tool} supervisor"))
            .spawn(move || supervise(self, &started))
            .map_err(|source| CatalogError::Spawn { tool, source })?;
        let (stdout, killer) = match starting.recv() {
            Ok(Ok(running)) => running,
            Ok(Err(source)) => return Err(CatalogError::Spawn { tool, source }),
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
            stdout: Some(stdout),
            killer,
            supervisor: Some(supervisor),
            cancel: cancel.clone(),
            _registration: registration,
        })
    }
}

type Started = mpsc::SyncSender<io::Result<(ChildStdout, Arc<Killer>)>>;

fn supervise(program: Program, started: &Started) -> Result<(), CatalogError> {
    let Program {
        tool,
        mut command,
        mut on_line,
        explain,
        ..
    } = program;
    let spawn_failed = || CatalogError::ToolFailed {
        tool,
        reason: "it was not started".into(),
    };
    command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = started.send(Err(error));
            return Err(spawn_failed());
        }
    };
    let group = Pid::from_child(&child);
    let killer = Arc::new(Killer {
        group,
        reaped: Mutex::new(false),
    });
    let stdout = child.stdout.take().expect("standard output was asked for");
    let stderr = child.stderr.take().expect("standard error was asked for");
    // Nobody there to hear it: whoever asked has gone, and so must the program.
    if started.send(Ok((stdout, Arc::clone(&killer)))).is_err() {
        killer.kill();
    }
    let mut kept = VecDeque::new();
    let reading = read_lines(stderr, |line| {
        on_line(line);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line.to_owned());
    });
    if reading.is_err() {
        killer.kill();
    }
    // Waits without reaping, so that the id still means this group when the rest of it is killed.
    let _ = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    killer.kill();
    let status = {
        let mut reaped = killer.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        *reaped = true;
        child
            .wait()
            .map_err(|source| CatalogError::Spawn { tool, source })?
    };
    if status.success() {
        return Ok(());
    }
    let kept: Vec<String> = kept.into();
    Err(explain(status, &kept))
}

/// Calls `line` for each line; a very long one is cut.
fn read_lines(from: impl Read, mut line: impl FnMut(&str)) -> io::Result<()> {
    let mut reader = BufReader::new(from);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut limited = reader.by_ref().take(KEPT_LINE);
        if limited.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes);
        // Terminal sequences in it must not reach a terminal.
        let text: String = text
            .trim_end()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if !text.is_empty() {
            line(&text);
        }
    }
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
    pub(crate) fn lines(mut self, line: impl FnMut(&str)) -> Result<(), CatalogError> {
        if let Some(stdout) = self.stdout.take() {
            let _ = read_lines(stdout, line);
        }
        self.wait()
    }

    fn wait(&mut self) -> Result<(), CatalogError> {
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

/// How a program ended, for a person.
pub(crate) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// A tar archive that a program writes.
///
/// Its end of file means that the program has ended well: a program that fails in the middle is an error of the last
/// `read`, never a short archive. A reader that stops at the archive's own end mark calls [`TarStream::finish`].
/// Dropping it early kills the program and removes its work files.
pub struct TarStream {
    running: Running,
    // After `running`: the program ends before its folder goes.
    _folder: Option<Arc<crate::workdir::WorkDir>>,
    failed: bool,
}

impl std::fmt::Debug for TarStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TarStream").finish_non_exhaustive()
    }
}

impl TarStream {
    pub(crate) fn new(running: Running, folder: Option<Arc<crate::workdir::WorkDir>>) -> Self {
        Self {
            running,
            _folder: folder,
            failed: false,
        }
    }

    /// Reads what is left and waits for the program's end.
    ///
    /// # Errors
    /// What made the program fail; [`CatalogError::Cancelled`].
    pub fn finish(mut self) -> Result<(), CatalogError> {
        if let Some(mut stdout) = self.running.stdout.take() {
            let _ = io::copy(&mut stdout, &mut io::sink());
        }
        if self.failed {
            return Err(CatalogError::ToolFailed {
                tool: "the archive's writer",
                reason: "it failed before".into(),
            });
        }
        self.running.wait()
    }
}

impl Read for TarStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stdout) = &mut self.running.stdout else {
            return if self.failed {
                Err(io::ErrorKind::BrokenPipe.into())
            } else {
                Ok(0)
            };
        };
        match stdout.read(buffer) {
            Ok(0) if !buffer.is_empty() => {
                self.running.stdout = None;
                self.running.wait().map(|()| 0).map_err(|error| {
                    self.failed = true;
                    io::Error::other(error)
                })
            }
            read => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        let mut command = dying_command("sh");
        command.args(["-c", script]);
        Program {
            tool: "sh",
            package: "dash",
            command,
            on_line: Box::new(|_| {}),
            explain: Box::new(|status, lines| CatalogError::ToolFailed {
                tool: "sh",
                reason: format!("{}: {}", ending(status), lines.join("|")),
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
        let program = Program {
            tool: "no-such-program",
            package: "some-package",
            ..shell("true")
        };
        let error = program.start(&Cancel::new()).err().unwrap();
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
}
