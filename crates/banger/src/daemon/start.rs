//! Starting `bangerd` and waiting until it answers.
//!
//! `bangerd --announce` prints one line on stdout, `ready <socket>`, when it answers, or when another one does that
//! was started at the same moment and was faster; then it lets go of stdout and stderr. If it fails it ends, after
//! a line `bangerd: …` on stderr and maybe a line `hint: …`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use config::Paths;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{binary, session};
use crate::failure::Failure;

/// How long a daemon may take to answer: it may have a store to migrate and machines to find again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a daemon that has failed may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Longest announcement, and longest account of a failure.
const LONGEST_TEXT: u64 = 64 << 10;

/// Starts the daemon and gives its socket.
///
/// # Errors
/// Why it does not run, in its own words where it has any.
pub async fn start(paths: &Paths) -> Result<PathBuf, Failure> {
    let program = binary::find("bangerd").ok_or_else(|| {
        failed("`bangerd` is neither beside `banger` nor on PATH").with_hint("install both into one folder")
    })?;
    start_program(&program, &paths.daemon_log(), PATIENCE).await
}

async fn start_program(program: &Path, log: &Path, patience: Duration) -> Result<PathBuf, Failure> {
    let mut command = Command::new(program);
    command
        .arg("--announce")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    session::detach(&mut command);
    let mut child = command
        .spawn()
        .map_err(|error| failed(&format!("{}: {error}", program.display())))?;
    let more = format!("{} may say more", log.display());
    match tokio::time::timeout(patience, announcement(&mut child)).await {
        Ok(Some(socket)) => Ok(socket),
        Ok(None) => {
            let words = last_words(&mut child).await;
            Err(match words.hint {
                Some(hint) => failed(&words.reason).with_hint(hint),
                None => failed(&words.reason).with_hint(more),
            })
        }
        Err(_) => {
            // Ours, and of no use: nobody could reach it.
            let _ = child.kill().await;
            Err(failed(&format!("it did not answer within {patience:?}")).with_hint(more))
        }
    }
}

fn failed(why: &str) -> Failure {
    Failure::new(format!("cannot start the daemon: {why}"))
}

/// The socket that the daemon announces; `None` if it ends, or says something else.
async fn announcement(child: &mut Child) -> Option<PathBuf> {
    let stdout = child.stdout.take()?;
    let mut line = String::new();
    BufReader::new(stdout.take(LONGEST_TEXT))
        .read_line(&mut line)
        .await
        .ok()?;
    let socket = PathBuf::from(line.strip_suffix('\n')?.strip_prefix("ready ")?);
    socket.is_absolute().then_some(socket)
}

/// Why a daemon ended.
struct LastWords {
    reason: String,
    hint: Option<String>,
}

/// Reads what a daemon says at its end, and makes sure that it does end.
async fn last_words(child: &mut Child) -> LastWords {
    let mut text = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = tokio::time::timeout(LAST_WORDS, read_bounded(stderr, &mut text)).await;
    }
    let status = match tokio::time::timeout(LAST_WORDS, child.wait()).await {
        Ok(Ok(status)) => format!("it ended without a reason ({status})"),
        _ => {
            let _ = child.kill().await;
            "it announced no socket".into()
        }
    };
    let text = String::from_utf8_lossy(&text);
    let line = |prefix: &str| {
        text.lines()
            .rev()
            .find_map(|line| line.strip_prefix(prefix))
            .map(str::to_owned)
    };
    LastWords {
        reason: line("bangerd: ")
            .or_else(|| {
                text.lines()
                    .rev()
                    .map(str::trim)
                    .find(|line| !line.is_empty())
                    .map(str::to_owned)
            })
            .unwrap_or(status),
        hint: line("hint: "),
    }
}

async fn read_bounded(stream: impl AsyncRead + Unpin, text: &mut Vec<u8>) {
    let _ = stream.take(LONGEST_TEXT).read_to_end(text).await;
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Runs a script in the place of `bangerd`.
    async fn start_script(script: &str, patience: Duration) -> Result<PathBuf, String> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bangerd");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        // Another test may have been forking while the script was open for writing (ETXTBSY): try again.
        loop {
            let outcome = start_program(&program, Path::new("/log"), patience).await;
            match outcome {
                Err(failure) if failure.message().contains("os error 26") => continue,
                outcome => return outcome.map_err(|failure| failure.message().to_owned()),
            }
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_announced_socket_is_taken() {
        let socket = start_script("[ \"$1\" = --announce ] && echo ready /run/a b.sock", LONG).await;
        assert_eq!(socket.unwrap(), Path::new("/run/a b.sock"));
    }

    #[tokio::test]
    async fn a_daemon_that_fails_is_quoted() {
        let error = start_script(
            "echo noise >&2; echo 'bangerd: the store is broken' >&2; exit 1",
            LONG,
        )
        .await;
        assert_eq!(error.unwrap_err(), "cannot start the daemon: the store is broken");
        let error = start_script("exit 3", LONG).await.unwrap_err();
        assert_eq!(
            error,
            "cannot start the daemon: it ended without a reason (exit status: 3)"
        );
        let error = start_script("echo nonsense; echo '  libfoo.so: not found' >&2", LONG)
            .await
            .unwrap_err();
        assert_eq!(error, "cannot start the daemon: libfoo.so: not found");
    }

    #[tokio::test]
    async fn a_daemon_that_never_answers_is_ended() {
        let error = start_script("exec sleep 1000", Duration::from_millis(300))
            .await
            .unwrap_err();
        assert_eq!(error, "cannot start the daemon: it did not answer within 300ms");
    }

    #[tokio::test]
    async fn an_endless_announcement_is_not_collected_forever() {
        let error = start_script("exec tr '\\0' x < /dev/zero", LONG)
            .await
            .unwrap_err();
        assert!(error.contains("cannot start the daemon"), "{error}");
    }
}
