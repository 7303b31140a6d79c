//! git on the host, run so that nothing of a repository is executed: no hook, no helper, no driver, no transport.
//!
//! The user's own settings hold (ignored files, line endings, identity); those of the repository hold where they cannot
//! name a program. Names and values go in as arguments after `--end-of-options`, over stdin, or not at all.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use crate::error::WorkspaceError;

/// First version with all that is used here: `read-tree --reset` that overwrites, settings by environment.
const NEEDED: (u32, u32) = (2, 34);
const NEEDED_TEXT: &str = "2.34";

/// Settings that win over any file's. A program named by one of these is never run.
const SAFE: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.sshCommand", "false"),
    ("core.askPass", "false"),
    ("core.alternateRefsCommand", "false"),
    ("core.pager", "cat"),
    ("credential.helper", ""),
    ("diff.external", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("protocol.allow", "never"),
    ("safe.bareRepository", "explicit"),
    ("status.submoduleSummary", "false"),
    ("submodule.recurse", "false"),
];

/// Variables of git's that come through: which files of settings to read. The rest would lead it astray.
const KEPT: &[&str] = &["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"];

/// Most bytes of an answer: some millions of names. A few objects can be a commit of more files than fit any memory.
const MOST: u64 = 256 << 20;
/// Most bytes of its complaints that are kept.
const COMPLAINT: u64 = 64 << 10;

/// A way to run git in one folder.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    folder: PathBuf,
    settings: Vec<(OsString, OsString)>,
    environment: Vec<(&'static str, OsString)>,
}

impl Git {
    /// git in this folder; drivers that a repository names are not known yet: see [`Git::disarm`].
    pub(crate) fn within(folder: &Path) -> Self {
        let settings = SAFE.iter().map(|(key, value)| (key.into(), value.into()));
        Self {
            folder: folder.to_owned(),
            settings: settings.collect(),
            environment: Vec::new(),
        }
    }

    /// Fails where git is missing or too old.
    pub(crate) fn check_version(&self) -> Result<(), WorkspaceError> {
        let output = self.read("tell its version", ["version"])?;
        let text = String::from_utf8_lossy(&output).trim().to_owned();
        let found = text.strip_prefix("git version ").unwrap_or(&text);
        let mut numbers = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < NEEDED {
            return Err(WorkspaceError::OldGit {
                found: found.to_owned(),
                needed: NEEDED_TEXT,
            });
        }
        Ok(())
    }

    /// Takes the programs away from all filters that the repository's own settings define. Those of the user's
    /// settings (Git LFS for one) stay.
    pub(crate) fn disarm(&mut self) -> Result<(), WorkspaceError> {
        let arguments = ["config", "-z", "--show-scope", "--get-regexp", r"^filter\."];
        let output = self.output("read its settings", arguments)?;
        // 1: there are none.
        if !output.status.success() && output.status.code() != Some(1) {
            return Err(failed("read its settings", &output));
        }
        let mut fields = output.stdout.split(|byte| *byte == 0);
        while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
            if matches!(scope, b"global" | b"system" | b"command") {
                continue;
            }
            let key = entry.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let Some(dot) = key.iter().rposition(|byte| *byte == b'.') else {
                continue;
            };
            let driver = String::from_utf8_lossy(&key[..dot]).into_owned();
            for (name, value) in [
                ("clean", ""),
                ("smudge", ""),
                ("process", ""),
                ("required", "false"),
            ] {
                self.set(format!("{driver}.{name}"), value);
            }
        }
        Ok(())
    }

    /// Adds a setting that wins over any file's.
    pub(crate) fn set(&mut self, key: impl Into<OsString>, value: impl Into<OsString>) {
        self.settings.push((key.into(), value.into()));
    }

    /// Adds a variable.
    pub(crate) fn with(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    /// The same in another folder.
    pub(crate) fn at(&self, folder: &Path) -> Self {
        let mut other = self.clone();
        folder.clone_into(&mut other.folder);
        other
    }

    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("GIT_") && !KEPT.contains(&text.as_ref()) {
                command.env_remove(&name);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_GRAFT_FILE", "/dev/null")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (index, (key, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn output<A: AsRef<OsStr>>(
        &self,
        action: &'static str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Output, WorkspaceError> {
        let mut child = self
            .command(arguments)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => WorkspaceError::NoGit(error),
                _ => WorkspaceError::host(action, "git")(error),
            })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let complaint = std::thread::spawn(move || first_of(stderr, COMPLAINT));
        let mut printed = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(MOST + 1).read_to_end(&mut printed));
        if read.is_err() || printed.len() as u64 > MOST {
            // It may have ended by itself; what failed is told below.
            let _ = child.kill();
        }
        let status = child.wait().map_err(WorkspaceError::host(action, "git"))?;
        let stderr = complaint.join().unwrap_or_default();
        read.map_err(WorkspaceError::host(action, "git"))?;
        if printed.len() as u64 > MOST {
            return Err(WorkspaceError::Git {
                action,
                said: "it has too much to say".to_owned(),
            });
        }
        Ok(Output {
            status,
            stdout: printed,
            stderr,
        })
    }

    /// What it prints.
    pub(crate) fn read<A: AsRef<OsStr>>(
        &self,
        action: &'static str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Vec<u8>, WorkspaceError> {
        let output = self.output(action, arguments)?;
        if !output.status.success() {
            return Err(failed(action, &output));
        }
        Ok(output.stdout)
    }

    /// One line that it prints, nothing if it fails.
    pub(crate) fn line<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let output = self.output("answer", arguments)?;
        let line = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
        Ok((output.status.success() && !line.is_empty()).then(|| line.to_vec()))
    }

    /// Starts it with a pipe at each end.
    pub(crate) fn spawn<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Child, WorkspaceError> {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .spawn()
            .map_err(WorkspaceError::NoGit)
    }
}

/// The beginning of what a program complains of; the rest is read and dropped.
pub(crate) fn first_of(stderr: Option<ChildStderr>, most: u64) -> Vec<u8> {
    let mut first = Vec::new();
    if let Some(mut stderr) = stderr {
        // A complaint that cannot be read is an empty one.
        let _ = (&mut stderr).take(most).read_to_end(&mut first);
        let _ = io::copy(&mut stderr, &mut io::sink());
    }
    first
}

/// The error of a git that failed.
pub(crate) fn failed(action: &'static str, output: &Output) -> WorkspaceError {
    WorkspaceError::Git {
        action,
        said: said(&output.stderr),
    }
}

/// The line that tells why, of all that a program printed.
pub(crate) fn said(stderr: &[u8]) -> String {
    let lines = || {
        stderr
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
    };
    let telling = lines().find(|line| line.starts_with(b"fatal:") || line.starts_with(b"error:"));
    let line = telling
        .or_else(|| lines().next_back())
        .unwrap_or(b"it did not say why");
    let line = crate::error::shown(&line[..line.len().min(300)]);
    line.trim_start_matches("fatal: ")
        .trim_start_matches("error: ")
        .to_owned()
}
