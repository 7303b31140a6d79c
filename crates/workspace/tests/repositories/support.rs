//! A repository of a user's, and a guest that is a folder with git and a home of its own.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use archive::{Keep, Pieces, Placement, Target, unpack};
use bytes::Bytes;
use tempfile::TempDir;
use workspace::patch::{Onto, Patch, Risk, parse};
use workspace::{
    Applied, Apply, Base, Choice, Destination, Ended, Guest, LARGEST_PATCH, Parcel, Prepared, Repository,
    Selection, Terms, WorkspaceError, apply, export, prepare,
};

/// Two folders: a host's repository and a guest.
pub struct Scene {
    folder: TempDir,
}

impl Scene {
    /// An empty repository.
    pub fn new() -> Self {
        let scene = Self {
            folder: TempDir::new().unwrap(),
        };
        std::fs::create_dir(scene.top()).unwrap();
        std::fs::create_dir(scene.folder.path().join("guest")).unwrap();
        scene.initialise();
        scene
    }

    fn initialise(&self) {
        self.git(&["init", "-q", "-b", "main"]);
        self.git(&["config", "user.name", "Ada"]);
        self.git(&["config", "user.email", "ada@example.com"]);
    }

    /// A repository with a commit of some files.
    pub fn committed() -> Self {
        Self::new().with_a_commit()
    }

    /// The same on another disk, `host` or `guest` of it.
    pub fn committed_with(part: &str, elsewhere: &Path) -> Self {
        let scene = Self::new();
        let usual = scene.folder.path().join(part);
        std::fs::remove_dir_all(&usual).unwrap();
        std::os::unix::fs::symlink(elsewhere, &usual).unwrap();
        if part == "host" {
            scene.initialise();
        }
        scene.with_a_commit()
    }

    fn with_a_commit(self) -> Self {
        let scene = self;
        scene.write("README", "one\ntwo\nthree\n");
        scene.write("src/main.c", "int main;\n");
        scene.write("src/old.c", "old\n");
        scene.write(".gitignore", "*.o\nsecret\n");
        scene.commit("first");
        scene
    }

    pub fn top(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// The workspace in the guest.
    pub fn inside(&self) -> PathBuf {
        self.folder.path().join("guest/repo")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that nothing may make: what a hostile repository tries to have run makes it.
    pub fn evidence(&self) -> PathBuf {
        self.path("was-run")
    }

    /// A command that leaves the evidence.
    pub fn trap(&self) -> String {
        let script = self.path("trap");
        let text = format!("#!/bin/sh\ntouch '{}'\ncat\n", self.evidence().display());
        std::fs::write(&script, text).unwrap();
        make_executable(&script);
        script.display().to_string()
    }

    pub fn assert_nothing_was_run(&self) {
        assert!(!self.evidence().exists(), "something of the repository was run");
    }

    pub fn write(&self, path: &str, text: &str) {
        write(&self.top(), path, text);
    }

    pub fn write_inside(&self, path: &str, text: &str) {
        write(&self.inside(), path, text);
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.top().join(path)).unwrap()
    }

    pub fn read_inside(&self, path: &str) -> String {
        std::fs::read_to_string(self.inside().join(path)).unwrap()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.top(), arguments)
    }

    pub fn git_inside(&self, arguments: &[&str]) -> String {
        git(&self.inside(), arguments)
    }

    pub fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", message]);
    }

    pub fn find(&self) -> Repository {
        let terms = Terms {
            records: Some(self.path("records")),
            ..Terms::default()
        };
        Repository::find_on(&self.top(), terms).unwrap()
    }

    pub fn select(&self, choice: &Choice) -> Selection {
        Selection::of(&self.find(), choice).unwrap()
    }

    pub fn prepare(&self) -> Prepared {
        self.prepare_as(&Choice::default(), None, false).unwrap()
    }

    pub fn prepare_as(
        &self,
        choice: &Choice,
        before: Option<&Prepared>,
        force: bool,
    ) -> Result<Prepared, WorkspaceError> {
        self.prepare_into(&mut Local::default(), choice, before, force)
    }

    pub fn prepare_into(
        &self,
        guest: &mut dyn Guest,
        choice: &Choice,
        before: Option<&Prepared>,
        force: bool,
    ) -> Result<Prepared, WorkspaceError> {
        let repository = Repository::find(&self.top())?;
        let selection = Selection::of(&repository, choice)?;
        let path = self.inside().display().to_string();
        prepare(
            &repository,
            &selection,
            guest,
            Destination {
                path: &path,
                before,
                force,
                user: None,
            },
        )
    }

    pub fn export(&self, base: &Base) -> Vec<u8> {
        let mut patch = Vec::new();
        export(
            &mut Local::default(),
            &self.inside().display().to_string(),
            base,
            LARGEST_PATCH,
            &mut patch,
        )
        .unwrap();
        patch
    }

    pub fn apply(&self, patch: &[u8]) -> Result<Applied, WorkspaceError> {
        self.apply_as(patch, Apply::default())
    }

    pub fn apply_as(&self, patch: &[u8], how: Apply) -> Result<Applied, WorkspaceError> {
        let file = self.path("patch");
        std::fs::write(&file, patch).unwrap();
        apply(&self.find(), &parsed(patch)?, &file, how)
    }

    /// What of a patch is to be looked at, with what the working tree has.
    pub fn risks(&self, patch: &[u8]) -> Vec<Risk> {
        parsed(patch).unwrap().risks(&self.find(), Onto::Files).unwrap()
    }

    /// What both sides say of themselves must be the same.
    pub fn assert_same(&self) {
        for arguments in [
            &["status", "--porcelain"][..],
            &["diff"],
            &["diff", "--cached"],
            &["ls-files", "-s"],
            &["rev-parse", "--abbrev-ref", "HEAD"],
        ] {
            assert_eq!(
                self.git(arguments),
                self.git_inside(arguments),
                "git {arguments:?}"
            );
        }
    }
}

/// Reads a patch.
pub fn parsed(patch: &[u8]) -> Result<Patch, WorkspaceError> {
    parse(patch)
}

fn write(top: &Path, path: &str, text: &str) {
    let path = top.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// git as a person runs it, without this machine's settings.
pub fn git(top: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(top)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All files below a folder with what they hold, `.git` included only if asked for.
pub fn tree(top: &Path, with_git: bool) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_owned();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_symlink() {
                found.push((
                    name,
                    std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
                ));
            } else if !metadata.is_dir() {
                found.push((name, std::fs::read(&path).unwrap()));
            } else if with_git || path.file_name() != Some(OsStr::new(".git")) {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Where a guest goes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Break {
    #[default]
    Never,
    /// This many bytes into what a command reads.
    Input(u64),
    /// This many bytes into a tar stream.
    Unpack(u64),
}

/// This machine as a guest.
#[derive(Default)]
pub struct Local {
    pub breaks: Break,
    /// Where its programs are, if not where this machine's are.
    pub programs: Option<PathBuf>,
    /// Its `/etc/gitconfig`, if it has one.
    pub system: Option<PathBuf>,
    /// Bytes of tar streams.
    pub unpacked: u64,
    /// Bytes that commands read.
    pub read: u64,
    /// The commands' scripts and how they ended.
    pub ran: Vec<(String, i32)>,
}

impl Guest for Local {
    fn run(
        &mut self,
        argv: &[String],
        mut input: Box<dyn Read + Send>,
        output: &mut dyn Write,
    ) -> io::Result<Ended> {
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // A guest's own is this machine's here: it stays as it is.
            .env(
                "GIT_CONFIG_SYSTEM",
                self.system
                    .as_deref()
                    .unwrap_or("/proc/nonexistent/gitconfig".as_ref()),
            );
        if let Some(programs) = &self.programs {
            command.env("PATH", programs);
        }
        let mut child = command.spawn()?;
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        if let Break::Input(after) = self.breaks {
            input = Box::new(input.take(after));
        }
        let copied = std::thread::spawn(move || io::copy(&mut input, &mut stdin));
        let printed = io::copy(&mut stdout, output);
        let ended = child.wait_with_output()?;
        self.read += copied.join().unwrap().unwrap_or_default();
        printed?;
        let code = ended.status.code().unwrap_or(128);
        self.ran.push((argv[2].clone(), code));
        Ok(Ended {
            code,
            stderr: ended.stderr,
        })
    }

    fn unpack(&mut self, folder: &str, parcel: Parcel) -> Result<(), WorkspaceError> {
        let mut pieces: Vec<Bytes> = Vec::new();
        parcel.pack(&mut |piece| {
            self.unpacked += piece.len() as u64;
            pieces.push(piece);
            match self.breaks {
                Break::Unpack(after) if self.unpacked > after => Err(io::ErrorKind::BrokenPipe.into()),
                _ => Ok(()),
            }
        })?;
        let mut pieces = pieces.into_iter().map(Ok);
        let target = Target::new(folder, Placement::Inside);
        let keep = Keep {
            owners: false,
            modes: true,
            privileges: false,
        };
        unpack(Pieces::new(|| pieces.next().transpose()), &target, keep)
            .map(drop)
            .map_err(|error| WorkspaceError::InGuest {
                action: "unpack the files",
                said: error.line(),
            })
    }
}
