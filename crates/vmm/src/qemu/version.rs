//! Which version of QEMU a binary is.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cannot_execute;
use crate::VmmError;

/// How long the binary may take for the answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const LONGEST: usize = 4096;

/// A binary as it was when it was asked: device, inode, and time of its last change.
type Asked = (PathBuf, u64, u64, i64, i64);

static ANSWERS: LazyLock<Mutex<HashMap<Asked, String>>> = LazyLock::new(Mutex::default);

/// The version of QEMU's `binary`, such as `7.2.22`. Asked once for each file.
///
/// # Errors
/// It is missing, cannot be executed, or does not answer as QEMU does.
pub fn version(binary: &Path) -> Result<String, VmmError> {
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
        cannot_execute(
            binary,
            io::Error::other(format!("it is not QEMU; it says: `{said}`")),
        )
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

/// Reads `QEMU emulator version 7.2.22 (Debian …)`.
fn parse(line: &str) -> Option<String> {
    let version = line
        .strip_prefix("QEMU emulator version ")?
        .split_whitespace()
        .next()?;
    let is_version = version.starts_with(|first: char| first.is_ascii_digit())
        && version
            .chars()
            .all(|part| part.is_ascii_alphanumeric() || matches!(part, '.' | '-' | '+'));
    is_version.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_version_is_the_number_alone() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)";
        assert_eq!(parse(debian).as_deref(), Some("7.2.22"));
        assert_eq!(
            parse("QEMU emulator version 10.1.0-rc1").as_deref(),
            Some("10.1.0-rc1")
        );
        for other in [
            "",
            "QEMU emulator version",
            "QEMU emulator version \u{1b}[31m",
            "cat 9.1",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_qemu_is_refused_and_what_is_missing_is_named() {
        let error = version(Path::new("/bin/true")).unwrap_err();
        assert!(matches!(error, VmmError::Spawn { .. }), "{error}");
        let error = version(Path::new("/nowhere/qemu")).unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/qemu was not found");
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line: String) {
            let _ = parse(&line);
        }
    }
}
