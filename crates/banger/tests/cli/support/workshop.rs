//! A daemon with a repository of a user's, for verbs that bring the one to the other.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use api::VmState;

use super::{FakeDaemon, Finished, vm};

/// A daemon, a repository and a folder for the guest's.
pub struct Workshop {
    pub daemon: FakeDaemon,
    pub top: PathBuf,
    pub inside: PathBuf,
}

impl Workshop {
    pub fn new() -> Self {
        let daemon = FakeDaemon::with(vec![
            vm("box", 'b', VmState::Running),
            vm("off", 'c', VmState::Stopped),
        ]);
        let (top, inside) = (daemon.folder().join("site"), daemon.folder().join("guest/repo"));
        fs::create_dir(&top).unwrap();
        let workshop = Self { daemon, top, inside };
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["config", "user.name", "Ada"],
            &["config", "user.email", "ada@example.com"],
        ] {
            workshop.git(arguments);
        }
        workshop.write("README", "one\ntwo\n");
        workshop.write(".gitignore", "secret\n");
        workshop.git(&["add", "-A"]);
        workshop.git(&["commit", "-qm", "first"]);
        workshop
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.top, arguments)
    }

    pub fn git_in(&self, folder: &PathBuf, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = command.env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.top.join(path), text).unwrap();
    }

    /// `banger vm workspace VERB box …` on the guest's folder.
    pub fn workspace(&self, verb: &str, more: &[&str]) -> Finished {
        let inside = self.inside.to_str().unwrap();
        let arguments = [&["vm", "workspace", verb, "box", "--guest-path", inside], more].concat();
        self.daemon.run(&arguments)
    }

    pub fn prepare(&self) {
        let top = self.top.to_str().unwrap();
        let ran = self.workspace("prepare", &[top, "-q"]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    }

    /// A screen without what differs each time.
    pub fn screen(&self, finished: &Finished) -> String {
        let mut screen = finished.screen();
        for reference in ["HEAD", "HEAD~1", "try/one"] {
            let mut command = Command::new("git");
            command
                .args(["rev-parse", "-q", "--verify", reference])
                .current_dir(&self.top);
            let id = String::from_utf8(command.output().unwrap().stdout).unwrap();
            if let Some(id) = id.get(..12) {
                screen = screen.replace(id, &format!("[{reference}]"));
            }
        }
        screen.replace(&self.daemon.folder().display().to_string(), "[home]")
    }
}
