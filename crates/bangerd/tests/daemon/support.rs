//! The daemon as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A daemon with a home of its own.
pub struct Daemon {
    pub child: Child,
    pub socket: PathBuf,
    pub home: tempfile::TempDir,
}

impl Daemon {
    pub fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::start_command(command(home.path(), &["--announce"]), home)
    }

    /// The same, by a command that has this home.
    pub fn start_command(mut command: Command, home: tempfile::TempDir) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let socket = line.trim_end().strip_prefix("ready ").expect(&line).into();
        Self { child, socket, home }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `bangerd` with nothing of this process's environment.
pub fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bangerd"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home.join("run"))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}
