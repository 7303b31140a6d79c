//! Runs `docker-credential-NAME get`: the server on standard input, JSON back (docker's credential helper protocol).

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::Login;
use crate::document::shown;
use crate::error::OciError;

const ANSWER_MAX: u64 = 64 << 10;
/// The user that stands for "the secret is an identity token".
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Looks for a program in the folders of `PATH`. A relative one would be below whatever folder is the current one.
fn find(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let folders = std::env::split_paths(path?).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(program)).find(|path| {
        path.metadata()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// Asks a helper for a login. It may ask the user for a password, so it takes the time it takes.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Login>, OciError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let failed = |reason: String| OciError::Helper {
        helper: shown(name),
        reason,
    };
    if name.is_empty() || !name.bytes().all(word) {
        return Err(failed("its name is no word".to_owned()));
    }
    let program = format!("docker-credential-{name}");
    let program = find(&program, std::env::var_os("PATH").as_deref())
        .ok_or_else(|| failed(format!("{program} is in no folder of PATH")))?;
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    // One that does not read its input has another way to know, or fails below.
    let mut input = child.stdin.take().expect("it was asked for");
    let _ = writeln!(input, "{server}");
    drop(input);
    let mut answer = Vec::new();
    let output = child.stdout.take().expect("it was asked for");
    let read = output.take(ANSWER_MAX).read_to_end(&mut answer);
    let status = child.wait();
    read.map_err(|error| failed(error.to_string()))?;
    let status = status.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        // The protocol has no other sign for it than these words.
        let answer = String::from_utf8_lossy(&answer);
        let text = answer.trim();
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(match text {
            "" => status.to_string(),
            text => shown(text),
        }));
    }
    let answer: Answer =
        serde_json::from_slice(&answer).map_err(|_| failed("its answer is no login".to_owned()))?;
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Login::IdentityToken(answer.secret),
        _ => Login::Password {
            user: answer.username,
            password: answer.secret,
        },
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_helper_is_looked_for_in_whole_paths_only() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-x");
        fs::write(&program, "").unwrap();
        let whole = folder.path().as_os_str();
        let find = |path: &OsStr| find("docker-credential-x", Some(path));
        assert_eq!(find(whole), None, "it cannot be executed");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(whole), Some(program));
        // The same folder by a relative path.
        let here = std::env::current_dir().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let relative = up.join(folder.path().strip_prefix("/").unwrap());
        assert!(relative.join("docker-credential-x").exists());
        let list = [&b"."[..], b"", relative.as_os_str().as_encoded_bytes()].join(&b':');
        assert_eq!(find(OsStr::new(std::str::from_utf8(&list).unwrap())), None);
    }
}
