//! Running a program to its end, timed, and never waiting for ever.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::BenchError;

/// Longest that anything measured here may take, building an image on a slow mirror included.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// From just before it was started until it was reaped.
    pub took: Duration,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

/// Runs to a successful end and collects what it writes; the end of stderr is in the error if it fails.
pub fn run(command: &mut Command) -> Result<Ended, BenchError> {
    let mut output = tempfile::tempfile().map_err(BenchError::file("create", "a temporary file"))?;
    let (took, stderr) = run_between(command, Stdio::null(), &output)?;
    Ok(Ended {
        took,
        stdout: from_the_beginning(&mut output)?,
        stderr,
    })
}

/// The same with this on its stdin.
pub fn run_with_stdin(command: &mut Command, stdin: &[u8]) -> Result<Ended, BenchError> {
    let temporary = || BenchError::file("use", "a temporary file");
    let mut input = tempfile::tempfile().map_err(temporary())?;
    input
        .write_all(stdin)
        .and_then(|()| input.rewind())
        .map_err(temporary())?;
    let mut output = tempfile::tempfile().map_err(temporary())?;
    let (took, stderr) = run_between(command, input.into(), &output)?;
    Ok(Ended {
        took,
        stdout: from_the_beginning(&mut output)?,
        stderr,
    })
}

/// The same with stdout in a file; gives the time from just before the start until the program was reaped.
pub fn run_into(command: &mut Command, stdout: &File) -> Result<Duration, BenchError> {
    run_between(command, Stdio::null(), stdout).map(|(took, _)| took)
}

/// The time that it took, and what it wrote to stderr.
fn run_between(
    command: &mut Command,
    stdin: Stdio,
    stdout: &File,
) -> Result<(Duration, Vec<u8>), BenchError> {
    let program = describe(command);
    let mut log = tempfile::tempfile().map_err(BenchError::file("create", "a temporary file"))?;
    let stderr = log
        .try_clone()
        .map_err(BenchError::file("use", "a temporary file"))?;
    let stdout = stdout
        .try_clone()
        .map_err(BenchError::file("use", "an output file"))?;
    command.stdin(stdin).stdout(stdout).stderr(stderr);

    let started = Instant::now();
    let mut child = command.spawn().map_err(|source| BenchError::Run {
        program: program.clone(),
        source,
    })?;
    let status = wait(&mut child, &program)?;
    let took = started.elapsed();

    let stderr = from_the_beginning(&mut log)?;
    if !status.success() {
        return Err(BenchError::Failed {
            program,
            status,
            stderr: last_lines(&stderr),
        });
    }
    Ok((took, stderr))
}

/// Waits on a pidfd, so that a program that hangs is killed and not waited for.
fn wait(child: &mut Child, program: &str) -> Result<ExitStatus, BenchError> {
    let failed = |source| BenchError::Run {
        program: program.to_owned(),
        source,
    };
    let pid = Pid::from_child(child);
    let descriptor = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| failed(error.into()))?;
    let limit = Timespec {
        tv_sec: i64::try_from(LIMIT.as_secs()).expect("twenty minutes fit"),
        tv_nsec: 0,
    };
    let ready = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit))
        .map_err(|error| failed(error.into()))?;
    if ready == 0 {
        child.kill().map_err(failed)?;
        child.wait().map_err(failed)?;
        return Err(BenchError::Stuck {
            program: program.to_owned(),
            seconds: LIMIT.as_secs(),
        });
    }
    child.wait().map_err(failed)
}

/// All that was written to a file that a child shared.
fn from_the_beginning(file: &mut File) -> Result<Vec<u8>, BenchError> {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .map_err(BenchError::file("read", "a temporary file"))?;
    Ok(bytes)
}

fn last_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn describe(command: &Command) -> String {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let arguments = command
        .get_args()
        .take(6)
        .map(|argument| argument.to_string_lossy());
    std::iter::once(name.to_string_lossy())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_is_collected() {
        let ended = run(Command::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        assert_eq!(ended.stdout, b"out\n");
    }

    #[test]
    fn a_failure_tells_what_was_said_on_stderr() {
        let error = run(Command::new("sh").args(["-c", "echo reason >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("reason"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("/nowhere/tool")).unwrap_err();
        assert!(error.to_string().contains("cannot run tool"), "{error}");
    }
}
