//! Which version of a VMM a binary is, as it says itself.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::VmmError;
use crate::processes::cannot_execute;

/// How long the binary may take for the answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const LONGEST: usize = 4096;

/// A binary as it was when it was asked: device, inode, and time of its last change.
type Asked = (PathBuf, u64, u64, i64, i64);

static ANSWERS: LazyLock<Mutex<HashMap<Asked, String>>> = LazyLock::new(Mutex::default);

/// What `binary`, which is to be a `program`, says of its version, as `parse` reads it. Asked once for each file.
///
/// # Errors
/// It is missing, cannot be executed, or says what `parse` does not know.
pub(crate) fn ask_once(
    binary: &Path,
    program: &str,
    parse: impl FnOnce(&str) -> Option<String>,
) -> Result<String, VmmError> {
    let file = fs::metadata(binary).map_err(|error| cannot_execute(binary, error))?;
    let asked = (
        binary.to_owned(),
        file.dev(),
        file.ino(),
        file.ctime(),
        file.ctime_nsec(),
    );
    let answers = || ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = answers().get(&asked) {
        return Ok(known.clone());
    }
    let said = ask(binary).map_err(|error| cannot_execute(binary, error))?;
    let version = parse(&said).ok_or_else(|| {
        let said = crate::text::last_lines(said.as_bytes(), 1);
        let reason = format!("it is not {program}; it says: `{said}`");
        cannot_execute(binary, io::Error::other(reason))
    })?;
    answers().insert(asked, version.clone());
    Ok(version)
}

/// The first line of `--version`. The process is ended when it has said it, or has taken too long.
fn ask(binary: &Path) -> io::Result<String> {
    let mut child = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let said = match child.stdout.take() {
        Some(output) => first_line(output),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    };
    // It fails only for one that has ended.
    let _ = child.kill();
    child.wait()?;
    said
}

fn first_line(mut output: ChildStdout) -> io::Result<String> {
    let deadline = Instant::now() + ANSWER;
    let mut said = Vec::new();
    while !said.contains(&b'\n') && said.len() < LONGEST {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&left))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut chunk = [0; 512];
        match output.read(&mut chunk)? {
            0 => break,
            length => said.extend_from_slice(&chunk[..length]),
        }
    }
    let line = said.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}
