//! git on the host, run so that nothing of a repository is executed: no hook, no helper, no driver, no transport.
//!
//! Two walls: of the repository's settings git is given the harmless ones alone ([`crate::shadow`]), and it is confined to
//! what it looks at ([`crate::sight`]). Names and values go in as arguments after `--end-of-options`, over stdin, or not
//! at all.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use process::{Bounds, Child, Command, Confinement, Cut, Ending, FileRights, ProcessError, Signal, Stream};

use crate::beneath::Folder;
use crate::error::WorkspaceError;
use crate::host::Host;
use crate::owner::Owner;
use crate::shadow::Shadow;
use crate::sight::Sight;

/// Settings that win over any file's. A program named by one of these is never run.
const SAFE: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.sshCommand", "false"),
    ("core.askPass", "false"),
    ("core.alternateRefsCommand", "false"),
    // It names its packs, by any path.
    ("core.multiPackIndex", "false"),
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

/// Most bytes of an answer: some millions of names. A few objects can be a commit of more files than fit any memory.
const MOST: usize = 256 << 20;
/// Most bytes of its complaints that are kept.
const COMPLAINT: usize = 64 << 10;
/// Most time for an answer, on the clock and of the processor: a hostile tree can have git wait for ever, by a pipe in a
/// file's place.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How long a git may rest before the tree is looked through for what it may be waiting for.
const RESTING: Duration = Duration::from_secs(2);
const TOO_MUCH: &str = "it has too much to say";
const ENDLESS: &str = "it did not come to an end";
/// What a git is taken to have ended by that says nothing, and was ended by one of these signals.
const OUT_OF_TIME: &str = "it took more time than it may";
const OF_TIME: [Signal; 2] = [Signal::XCPU, Signal::KILL];

/// Whether a git has run without being confined.
static UNCONFINED: AtomicBool = AtomicBool::new(false);

/// Why the gits that have looked at repositories so far were not confined, if they were not.
#[must_use]
pub fn unconfined() -> Option<String> {
    let refused = || {
        let Some(refusal) = Confinement::refused() else {
            return "root lacks the rights to confine a program of another user's".to_owned();
        };
        let reason = refusal.reason();
        // Without the system's numbers.
        reason.split(" (os error").next().unwrap_or_default().to_owned()
    };
    UNCONFINED.load(Ordering::Relaxed).then(refused)
}

/// A way to run git in one folder.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    host: Arc<Host>,
    folder: PathBuf,
    settings: Vec<(OsString, OsString)>,
    environment: Vec<(&'static str, OsString)>,
    sight: Sight,
    writes_nothing_that_stays: bool,
    patience: Duration,
    /// Stays there as long as this does.
    shadow: Option<Arc<Shadow>>,
}

impl Git {
    /// git in a folder, which sees what it is shown.
    pub(crate) fn within(host: &Arc<Host>, folder: &Path, sight: Sight) -> Self {
        let settings = SAFE.iter().map(|(key, value)| (key.into(), value.into()));
        Self {
            host: Arc::clone(host),
            folder: folder.to_owned(),
            settings: settings.collect(),
            environment: Vec::new(),
            sight,
            writes_nothing_that_stays: false,
            patience: PATIENCE,
            shadow: None,
        }
    }

    /// git that looks at a repository by its shadow. What filters keep goes beside that.
    pub(crate) fn by(mut self, shadow: Shadow) -> Self {
        let path = shadow.path().to_owned();
        self.set("core.excludesFile", path.join("user/ignore"));
        self.set("core.attributesFile", path.join("user/attributes"));
        if let Some(scratch) = &shadow.scratch {
            self.set("lfs.storage", scratch);
        }
        self.sight.ours_written = shadow.scratch.iter().cloned().collect();
        self.sight.ours_read = vec![path.clone()];
        self.shadow = Some(Arc::new(shadow));
        self.with("GIT_DIR", &path)
            .with("GIT_CONFIG_GLOBAL", path.join("user/config"))
    }

    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Whom root becomes for it.
    pub(crate) fn owner(&self) -> Option<Owner> {
        self.sight.owner
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

    /// Lets it read a file or folder.
    pub(crate) fn reading(mut self, path: &Path) -> Self {
        self.sight.read.push(path.to_owned());
        self
    }

    /// Lets it write a file or folder.
    pub(crate) fn writing(mut self, path: &Path) -> Self {
        self.sight.written.push(path.to_owned());
        self
    }

    /// Lets it write a folder of the repository's that goes with what is asked now.
    pub(crate) fn writing_for_now(mut self, path: &Path) -> Self {
        self.writes_nothing_that_stays = self.sight.written.is_empty();
        self.writing(path)
    }

    /// Ends it earlier than git is ended otherwise.
    pub(crate) fn for_at_most(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Lets it write a folder of ours.
    pub(crate) fn writing_ours(mut self, path: &Path) -> Self {
        self.sight.ours_written.push(path.to_owned());
        self
    }

    /// A run of it, its streams not given yet.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.host.git);
        command
            .arguments(arguments)
            .folder(&self.folder)
            .confine(self.sight.confinement(&self.host))
            .unconfined_if_refused()
            .limit(Sight::limits(self.patience))
            .filter(Sight::system_calls());
        if !self.sight.written.is_empty() {
            command.umask(archive::umask());
        }
        if self.sight.written.is_empty() || self.writes_nothing_that_stays {
            command.may_be_broken_off();
        }
        command.variable("PATH", &self.host.path);
        if let Some(home) = &self.host.home {
            command.variable("HOME", home);
        }
        if let Some(zone) = std::env::var_os("TZ") {
            command.variable("TZ", zone);
        }
        for (name, value) in [
            ("TMPDIR", "/tmp"),
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_GRAFT_FILE", "/dev/null"),
            ("GIT_ALLOW_PROTOCOL", "none"),
        ] {
            // Of several with one name, programs take the first.
            if !self.environment.iter().any(|(own, _)| *own == name) {
                command.variable(name, value);
            }
        }
        command.variable("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (index, (key, value)) in self.settings.iter().enumerate() {
            command.variable(format!("GIT_CONFIG_KEY_{index}"), key);
            command.variable(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        for (index, (name, value)) in self.environment.iter().enumerate() {
            // The last one said counts.
            if !self.environment[index + 1..]
                .iter()
                .any(|(later, _)| later == name)
            {
                command.variable(*name, value);
            }
        }
        command
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn output<A: AsRef<OsStr>>(
        &self,
        action: &'static str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Output, WorkspaceError> {
        self.output_of(action, arguments, Stream::Nothing)
    }

    /// The same with something to read.
    pub(crate) fn output_of<A: AsRef<OsStr>>(
        &self,
        action: &'static str,
        arguments: impl IntoIterator<Item = A>,
        input: Stream,
    ) -> Result<Output, WorkspaceError> {
        let bounds = Bounds {
            output: MOST,
            errors: COMPLAINT,
            time: self.patience,
        };
        // Root's own program, and root's to confine.
        let _own = FileRights::own();
        let mut command = self.command(arguments);
        command.input(input);
        let finished = command.run(None, bounds).map_err(not_started)?;
        note(finished.confined);
        let cut = match finished.cut {
            None => {
                return Ok(Output {
                    status: status(finished.ending),
                    stdout: finished.output,
                    stderr: finished.errors,
                });
            }
            Some(Cut::Output) => TOO_MUCH,
            Some(Cut::Time) => ENDLESS,
        };
        Err(WorkspaceError::Git {
            action,
            said: cut.to_owned(),
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

    /// What it prints of a working tree, which no other git of a repository's sees. Where it rests, the tree is looked
    /// through meanwhile: a pipe in a file's place is waited for without end.
    pub(crate) fn read_tree<A: AsRef<OsStr>>(
        &self,
        action: &'static str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Vec<u8>, WorkspaceError> {
        let git = self.clone().with("GIT_WORK_TREE", &self.folder);
        let mut child = git.spawn(arguments)?;
        child.stdin = None;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let cut = |why: &str| WorkspaceError::Git {
            action,
            said: why.to_owned(),
        };
        let (ending, stdout, stderr) = std::thread::scope(|scope| {
            let most = MOST as u64 + 1;
            let output = scope.spawn(move || {
                let mut text = Vec::new();
                // Dropped after it, so that a git with more to say ends.
                let read = stdout.map(|stdout| stdout.take(most).read_to_end(&mut text));
                read.transpose().map(|_| text)
            });
            let complaint = scope.spawn(move || first_of(stderr, COMPLAINT as u64));
            let ending = wait_watched(&mut child, action, || {
                // What it is shown beside the tree: a repository that lies elsewhere, and those within it.
                let beside = self.sight.read.iter();
                let beside = beside.filter(|path| !path.starts_with(&self.folder) && path.is_dir());
                [&self.folder]
                    .into_iter()
                    .chain(beside)
                    .try_for_each(|path| Folder::open(path)?.check_for_pipes())
            });
            if !matches!(ending, Ok(Some(_))) {
                child.kill();
            }
            (
                ending,
                output.join().unwrap_or_else(|_| Ok(Vec::new())),
                complaint.join().unwrap_or_default(),
            )
        });
        let status = status(ending?.ok_or_else(|| cut(ENDLESS))?);
        let stdout = stdout.map_err(WorkspaceError::host(action, "git"))?;
        if stdout.len() > MOST {
            return Err(cut(TOO_MUCH));
        }
        if !status.success() {
            return Err(failed(
                action,
                &Output {
                    status,
                    stdout,
                    stderr,
                },
            ));
        }
        Ok(stdout)
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

    /// Starts it with a pipe at each end. Dropped, it is killed.
    pub(crate) fn spawn<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Child, WorkspaceError> {
        let _own = FileRights::own();
        let mut command = self.command(arguments);
        command
            .input(Stream::Pipe)
            .output(Stream::Pipe)
            .errors(Stream::Pipe);
        let child = command.spawn().map_err(not_started)?;
        note(child.is_confined());
        Ok(child)
    }
}

/// Waits for a git, and looks each time that it has done nothing for a while. Nothing, if it does not come to an end.
fn wait_watched(
    child: &mut Child,
    action: &'static str,
    look: impl Fn() -> Result<(), WorkspaceError>,
) -> Result<Option<Ending>, WorkspaceError> {
    let cannot = |source| WorkspaceError::host(action, "git")(source);
    let begin = Instant::now();
    let mut before = None;
    while begin.elapsed() < PATIENCE {
        match child.wait_for(RESTING) {
            Ok(Some(ending)) => return Ok(Some(ending)),
            Ok(None) => {}
            Err(error) => return Err(cannot(error)),
        }
        let now = child.activity().map_err(cannot)?;
        if before.is_some_and(|before| now.rests_since(&before)) {
            look()?;
        }
        before = Some(now);
    }
    Ok(None)
}

fn note(confined: bool) {
    if !confined {
        UNCONFINED.store(true, Ordering::Relaxed);
    }
}

fn not_started(error: ProcessError) -> WorkspaceError {
    match error {
        ProcessError::Execute { source, .. } => WorkspaceError::NoGit(source),
        error => WorkspaceError::Unstarted(error),
    }
}

/// How it ended, in the standard library's words.
pub(crate) fn status(ending: Ending) -> ExitStatus {
    ExitStatus::from_raw(match ending {
        Ending::Exited(code) => code << 8,
        Ending::Signalled(signal) => signal,
        Ending::Headless | Ending::Unknown => 1 << 8,
    })
}

/// The beginning of what a program complains of; the rest is read and dropped.
pub(crate) fn first_of(stderr: Option<impl Read>, most: u64) -> Vec<u8> {
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
    let ended_by = output.status.signal().and_then(Signal::from_named_raw);
    let ended = output.stderr.is_empty() && ended_by.is_some_and(|signal| OF_TIME.contains(&signal));
    WorkspaceError::Git {
        action,
        said: match ended {
            true => OUT_OF_TIME.to_owned(),
            false => said(&output.stderr),
        },
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
