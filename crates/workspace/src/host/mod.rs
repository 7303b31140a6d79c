//! git on this host, and what the user's own settings say: found out once, away from every repository.

mod programs;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Setting, Settings};
use crate::error::WorkspaceError;
use crate::git::failed;
pub(crate) use programs::Program;
use programs::{find, of_filters, of_git};

/// First version with all that is used here: `read-tree --reset` that overwrites, settings by environment.
const NEEDED: (u32, u32) = (2, 34);
const NEEDED_TEXT: &str = "2.34";

/// Variables of git's that count: which files of settings to read. The rest would lead it astray.
const KEPT: [&str; 3] = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"];

/// The settings of the host's and of the user's, each with the file that it stands in.
type Listed = Vec<(PathBuf, Setting)>;

/// The variables that what is found depends on.
type Surroundings = Vec<Option<OsString>>;

/// git, and who runs it.
#[derive(Debug)]
pub(crate) struct Host {
    /// The program.
    pub(crate) git: PathBuf,
    /// What else git consists of, as far as it is no part of the system's programs.
    pub(crate) parts: Vec<Program>,
    pub(crate) path: OsString,
    pub(crate) home: Option<PathBuf>,
    configuration: Option<PathBuf>,
    kept: Vec<(&'static str, OsString)>,
    listed: Listed,
}

impl Host {
    /// Finds git.
    ///
    /// # Errors
    /// It is missing, too old, or cannot read the user's settings.
    pub(crate) fn find() -> Result<Arc<Self>, WorkspaceError> {
        static FOUND: Mutex<Option<(Surroundings, Arc<Host>)>> = Mutex::new(None);
        let names = ["PATH", "HOME", "XDG_CONFIG_HOME"].into_iter().chain(KEPT);
        let now: Surroundings = names.map(std::env::var_os).collect();
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, host)) = &*found
            && *then == now
        {
            return Ok(Arc::clone(host));
        }
        let host = Arc::new(Self::look()?);
        *found = Some((now, Arc::clone(&host)));
        Ok(host)
    }

    fn look() -> Result<Self, WorkspaceError> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let missing =
            || WorkspaceError::NoGit(io::Error::new(io::ErrorKind::NotFound, "there is none in PATH"));
        let git = find(OsStr::new("git"), &path).ok_or_else(missing)?;
        let variable = |name| std::env::var_os(name).filter(|value| Path::new(value).is_absolute());
        let home = variable("HOME").map(PathBuf::from);
        let configuration = variable("XDG_CONFIG_HOME").map(PathBuf::from);
        // One that is not from the root is meant from where the user is.
        let here = std::env::current_dir().unwrap_or_default();
        let kept = KEPT.into_iter().filter_map(|name| {
            let value = std::env::var_os(name)?;
            let file = name != "GIT_CONFIG_NOSYSTEM" && !value.is_empty();
            Some((name, if file { here.join(value).into() } else { value }))
        });
        let mut host = Self {
            git,
            parts: Vec::new(),
            path,
            home,
            configuration,
            kept: kept.collect(),
            listed: Vec::new(),
        };
        let (version, listed) = std::thread::scope(|scope| {
            let version = scope.spawn(|| host.check_version());
            let listed = host.listing(&["--list"]);
            (version.join().unwrap_or(Ok(())), listed)
        });
        version?;
        host.listed = listed?;
        host.parts = of_git(&host)?;
        Ok(host)
    }

    /// The settings of the host and of the user, those with conditions of includes undecided.
    pub(crate) fn settings(&self) -> &[(PathBuf, Setting)] {
        &self.listed
    }

    /// Those of a file that the user includes; none where there is no such file.
    pub(crate) fn settings_in(&self, file: &Path) -> Result<Listed, WorkspaceError> {
        if !file.exists() {
            return Ok(Listed::new());
        }
        let file = file.as_os_str();
        self.listing(&[
            OsStr::new("--includes"),
            OsStr::new("--file"),
            file,
            OsStr::new("--list"),
        ])
    }

    /// Where the user's files of git's lie that no setting names.
    pub(crate) fn folder_of_settings(&self) -> Option<PathBuf> {
        let usual = || Some(self.home.as_ref()?.join(".config"));
        Some(self.configuration.clone().or_else(usual)?.join("git"))
    }

    /// The files of settings that the user's variables name in the place of the usual ones.
    pub(crate) fn named_files(&self) -> impl Iterator<Item = PathBuf> {
        let files = self
            .kept
            .iter()
            .filter(|(name, _)| *name != "GIT_CONFIG_NOSYSTEM");
        files.map(|(_, file)| PathBuf::from(file))
    }

    /// The programs of the filters that these settings name.
    pub(crate) fn filters(&self, settings: &Settings) -> Vec<Program> {
        of_filters(settings, &self.path, self.home.as_deref())
    }

    /// Who would sign commits, by the user's settings or what the host knows of the user: name and address.
    pub(crate) fn identity(&self) -> Option<(OsString, OsString)> {
        let output = self.run(&["var", "GIT_COMMITTER_IDENT"]).ok()?;
        let line = output.stdout;
        let (open, close) = (
            line.iter().position(|byte| *byte == b'<')?,
            line.iter().rposition(|byte| *byte == b'>')?,
        );
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let found = (
            text(line.get(..open)?.trim_ascii()),
            text(line.get(open + 1..close)?),
        );
        output.status.success().then_some(found)
    }

    /// Fails where git is too old.
    fn check_version(&self) -> Result<(), WorkspaceError> {
        let output = self.run(&["version"])?;
        if !output.status.success() {
            return Err(failed("tell its version", &output));
        }
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
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

    fn listing<A: AsRef<OsStr>>(&self, which: &[A]) -> Result<Listed, WorkspaceError> {
        let action = "read your settings";
        let begin = ["config", "-z", "--show-origin"].map(OsStr::new);
        let arguments: Vec<&OsStr> = begin.into_iter().chain(which.iter().map(AsRef::as_ref)).collect();
        let output = self.run(&arguments)?;
        // There need not be any: without a file, git says so by its code alone.
        let none = output.stdout.is_empty() && has_no_settings(&output);
        if !output.status.success() && !none {
            return Err(failed(action, &output));
        }
        let mut fields = output.stdout.split(|byte| *byte == 0);
        let mut listed = Listed::new();
        while let (Some(origin), Some(entry)) = (fields.next(), fields.next()) {
            let file = origin.strip_prefix(b"file:").unwrap_or_default();
            let mut parts = entry.splitn(2, |byte| *byte == b'\n');
            let key = parts.next().unwrap_or_default();
            let value = parts.next().map(<[u8]>::to_vec);
            let setting =
                Setting::of_key(key, value).ok_or(WorkspaceError::Answer("a setting without a key"))?;
            listed.push((OsStr::from_bytes(file).into(), setting));
        }
        Ok(listed)
    }

    /// Runs git where it sees no repository, with the user's own settings.
    pub(super) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Output, WorkspaceError> {
        let mut command = Command::new(&self.git);
        for (name, _) in std::env::vars_os() {
            if name.as_bytes().starts_with(b"GIT_") {
                command.env_remove(&name);
            }
        }
        command
            .args(arguments)
            .current_dir("/")
            .envs(self.kept.iter().cloned())
            .env("LC_ALL", "C")
            // There is none: git looks for no other one.
            .env("GIT_DIR", "/dev/null")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => WorkspaceError::NoGit(error),
                _ => WorkspaceError::host("run", "git")(error),
            })
    }
}

fn has_no_settings(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    said.is_empty() || said.contains("No such file or directory")
}
