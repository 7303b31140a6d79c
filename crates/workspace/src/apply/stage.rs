//! A copy of the files that a patch names, for git to work on.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use process::Stream;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, open, openat, readlinkat, statat};
use rustix::io::Errno;
use tempfile::TempDir;

use super::place::{KEPT, PREFIX, Turn, beside};
use super::plan::Plan;
use super::record::{Record, finish};
use crate::alternates::{ALTERNATES, one_path};
use crate::breaking;
use crate::config::{Setting, Settings};
use crate::digest::Format;
use crate::error::{WorkspaceError, shown};
use crate::git::{Git, failed};
use crate::owner::open_own;
use crate::patch::{FileMode, Patch};
use crate::repository::Repository;
use crate::shadow::Shadow;
use crate::sight::Sight;

/// A folder of a tree, opened without following a link.
const FOLDER: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Where in a stage what git makes of the files is.
pub(super) const NEW: &str = "new";
/// Where in a stage what was taken away lies.
pub(super) const OLD: &str = "old";

/// What lay at a path when it was copied.
#[derive(Clone, Debug)]
pub(super) struct Original {
    pub(super) path: Vec<u8>,
    /// Its state then; none if there was nothing.
    pub(super) stat: Option<Stat>,
}

/// What a path is to become.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) original: Original,
    /// Whether there is a file in the stage to put there.
    pub(super) made: bool,
}

/// The copy. It goes when this does.
pub(super) struct Stage {
    /// The working tree's top.
    pub(super) top: OwnedFd,
    folder: TempDir,
    /// The user's note of it, taken away after the folder.
    record: Option<Record>,
    /// Given back after all of it is gone.
    _turn: Turn,
    originals: Vec<Original>,
}

impl Stage {
    /// Copies what the patch names.
    pub(super) fn of(repository: &Repository, patch: &Patch) -> Result<Self, WorkspaceError> {
        let here = repository.top.display().to_string();
        let top = open(
            &repository.top,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| WorkspaceError::host("open", here.clone())(errno.into()))?;
        let turn = Turn::take(repository)?.ok_or_else(|| WorkspaceError::Busy {
            path: repository.top.clone(),
        })?;
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(beside(repository))
            .map_err(WorkspaceError::host("make a folder in", here))?;
        let record = repository.records.as_ref().map(|records| {
            Record::begin(records, folder.path())
                .map_err(WorkspaceError::host("write", records.display().to_string()))
        });
        let mut stage = Self {
            top,
            folder,
            record: record.transpose()?,
            _turn: turn,
            originals: Vec::new(),
        };
        for part in [NEW, OLD] {
            let path = stage.folder.path().join(part);
            fs::create_dir(&path).map_err(WorkspaceError::host("make", path.display().to_string()))?;
        }
        let mut rules = BTreeSet::new();
        for change in &patch.changes {
            breaking::check()?;
            let stat = stage.copy(&change.path)?;
            stage.originals.push(Original {
                path: change.path.clone(),
                stat,
            });
            let mut folder = change.path.as_slice();
            loop {
                let slash = folder.iter().rposition(|byte| *byte == b'/');
                folder = &folder[..slash.unwrap_or(0)];
                let end: &[u8] = if folder.is_empty() {
                    b".gitattributes"
                } else {
                    b"/.gitattributes"
                };
                rules.insert([folder, end].concat());
                if folder.is_empty() {
                    break;
                }
            }
        }
        // How lines end stands there. What else they say names drivers that the stage does not have.
        for rule in rules {
            if !stage.originals.iter().any(|original| original.path == rule) {
                stage.copy(&rule)?;
            }
        }
        Ok(stage)
    }

    /// Where the result of a path lies.
    pub(super) fn new_path(&self, path: &[u8]) -> PathBuf {
        self.folder.path().join(NEW).join(OsStr::from_bytes(path))
    }

    /// Where what was replaced is kept until the end.
    pub(super) fn old_path(&self, number: usize) -> PathBuf {
        self.folder.path().join(OLD).join(number.to_string())
    }

    /// Opens the folder itself.
    pub(super) fn open(&self) -> Result<OwnedFd, WorkspaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open(self.folder.path(), flags, Mode::empty())
            .map_err(|errno| WorkspaceError::host("open", self.shown())(errno.into()))
    }

    /// The folder's path.
    pub(super) fn shown(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Keeps the folder for the user, since something in it could not be put back; says where it is.
    pub(super) fn keep(self) -> PathBuf {
        let kept = self.folder.path().with_extension(KEPT);
        let folder = self.folder.keep();
        match fs::rename(&folder, &kept) {
            Ok(()) => kept,
            Err(_) => folder,
        }
    }

    /// Leaves the folder with its plan to the next that looks; says where it is.
    pub(super) fn leave(self) -> PathBuf {
        if let Some(record) = self.record {
            record.keep();
        }
        self.folder.keep()
    }

    /// Ends it once all is done: what was replaced goes. Gives the note if that stays.
    pub(super) fn end(self, own: &OwnedFd) -> Option<PathBuf> {
        let Self {
            folder,
            record,
            _turn,
            ..
        } = self;
        let record = record?;
        if finish(own.as_fd()).is_err() {
            // Without a note nothing is put back either.
            let _ = record.remove();
        }
        drop(folder);
        let stays = record.remove().is_err();
        stays.then(|| record.path().to_owned())
    }

    /// Notes what is about to be done.
    pub(super) fn note(&self, plan: &Plan) -> Result<(), WorkspaceError> {
        match &self.record {
            Some(record) => record
                .note(plan)
                .map_err(WorkspaceError::host("write", "a note of what is applied")),
            None => Ok(()),
        }
    }

    /// Copies one file or link; nothing if there is none.
    fn copy(&self, path: &[u8]) -> Result<Option<Stat>, WorkspaceError> {
        let Some((parent, name)) = parent(self.top.as_fd(), path, false)? else {
            return Ok(None);
        };
        let fail = |source: io::Error| WorkspaceError::host("read", shown(path))(source);
        let stat = match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(fail(errno.into())),
        };
        let to = self.new_path(path);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = openat(&parent, name, flags, Mode::empty()).map_err(|errno| fail(errno.into()))?;
                let mut from = fs::File::from(file);
                let mut copy = fs::File::create_new(&to).map_err(fail)?;
                io::copy(&mut from, &mut copy).map_err(fail)?;
                copy.set_permissions(fs::Permissions::from_mode(stat.st_mode & 0o777))
                    .map_err(fail)?;
            }
            FileType::Symlink => {
                let target = readlinkat(&parent, name, Vec::new()).map_err(|errno| fail(errno.into()))?;
                std::os::unix::fs::symlink(OsStr::from_bytes(target.as_bytes()), &to).map_err(fail)?;
            }
            // In the way of a file only if the patch leaves it there.
            FileType::Directory => return Ok(None),
            _ => {
                let why = "is no file";
                return Err(WorkspaceError::InTheWay {
                    path: shown(path),
                    why,
                });
            }
        }
        Ok(Some(stat))
    }

    /// Has git change the copy.
    pub(super) fn apply(
        &self,
        repository: &Repository,
        patch: &Patch,
        file: &Path,
        three_way: bool,
    ) -> Result<(), WorkspaceError> {
        let new = self.folder.path().join(NEW);
        let new = new
            .canonicalize()
            .map_err(WorkspaceError::host("open", self.shown()))?;
        let format = repository.format();
        let mut settings = Vec::new();
        for (key, value) in [
            ("core.repositoryformatversion", "1"),
            ("extensions.objectformat", format.name()),
        ] {
            // Other versions of git than those that know both take it for damaged.
            if format == Format::Sha256 {
                settings.extend(Setting::of_key(key.as_bytes(), Some(value.into())));
            }
        }
        let shadow = Shadow::empty(&Settings(settings), repository.owner())?;
        let sight = Sight {
            ours_written: vec![shadow.path().to_owned()],
            owner: repository.owner(),
            ..Sight::default()
        };
        // The stage is thrown away if this ends early.
        let mut git = Git::within(repository.git.host(), &new, sight)
            .writing_for_now(&new)
            .with("GIT_CONFIG_GLOBAL", "/dev/null")
            .with("GIT_ATTR_NOSYSTEM", "1")
            .with("GIT_DIR", shadow.path())
            .with("GIT_WORK_TREE", &new);
        git.set("core.bare", "false");
        for key in ["autocrlf", "eol"] {
            if let Some(value) = repository.settings.get("core", key) {
                git.set(format!("core.{key}"), OsStr::from_bytes(value));
            }
        }
        let mut arguments = vec!["apply", "--whitespace=nowarn"];
        if three_way {
            git = git
                .with(ALTERNATES, one_path(&repository.objects()))
                .reading(&repository.objects());
            for borrowed in &repository.parts.borrowed {
                git = git.reading(borrowed);
            }
            git.read("stage the files", ["add", "--all", "--force", "."])?;
            patch.check_claims(&git, file)?;
            arguments.push("--3way");
        }
        // From stdin: the file may lie where this git sees nothing.
        let file = open_own(file).map_err(WorkspaceError::host("read", "the patch"))?;
        let output = git.output_of("apply the patch", arguments, Stream::Given(file.into()))?;
        let mut files = misfits(&output.stderr);
        if three_way {
            let listed = git.read(
                "look for conflicts",
                ["diff", "--name-only", "--diff-filter=U", "-z"],
            )?;
            files.extend(
                listed
                    .split(|byte| *byte == 0)
                    .filter(|path| !path.is_empty())
                    .map(shown),
            );
            files.sort_unstable();
            files.dedup();
        }
        match (output.status.success(), files.is_empty()) {
            (true, true) => Ok(()),
            (_, false) => Err(WorkspaceError::Conflict { files }),
            (false, true) => Err(failed("apply the patch", &output)),
        }
    }

    /// What git made of each path, which must be what the patch says.
    pub(super) fn outcomes(&mut self, patch: &Patch) -> Result<Vec<Outcome>, WorkspaceError> {
        let originals = std::mem::take(&mut self.originals);
        let changes = patch.changes.iter().zip(originals);
        changes
            .map(|(change, original)| {
                breaking::check()?;
                let made = self.new_path(&change.path);
                let found = match statat(CWD, &made, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
                    Err(Errno::NOENT | Errno::NOTDIR) => None,
                    Err(errno) => return Err(WorkspaceError::host("read", change.shown())(errno.into())),
                };
                let expected = change.after.map(|mode| match mode {
                    FileMode::Link => FileType::Symlink,
                    FileMode::Plain | FileMode::Executable => FileType::RegularFile,
                });
                // A folder with further files may take the place of a deleted one.
                let replaced = found == Some(FileType::Directory) && expected.is_none();
                if found != expected && !replaced {
                    let why = "did not become what the patch says";
                    return Err(WorkspaceError::InTheWay {
                        path: change.shown(),
                        why,
                    });
                }
                if found == Some(FileType::RegularFile) {
                    keep_rights(&made, &original).map_err(WorkspaceError::host("write", change.shown()))?;
                }
                Ok(Outcome {
                    original,
                    made: expected.is_some(),
                })
            })
            .collect()
    }
}

/// Gives a changed file the rights that it had, but for those to run it, which the patch may change.
fn keep_rights(made: &Path, original: &Original) -> io::Result<()> {
    let Some(stat) = &original.stat else {
        return Ok(());
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let executable = fs::metadata(made)?.permissions().mode() & 0o100 != 0;
    let readable = stat.st_mode & 0o666;
    let mode = if executable {
        readable | (readable & 0o444) >> 2
    } else {
        readable
    };
    fs::set_permissions(made, fs::Permissions::from_mode(mode))
}

/// The files of which git says that a patch does not fit them.
pub(crate) fn misfits(stderr: &[u8]) -> Vec<String> {
    let mut files: Vec<String> = stderr
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let line = shown(line.strip_prefix(b"error: ")?);
            let ends = [
                ": patch does not apply",
                ": already exists in working directory",
                ": already exists in index",
                ": does not exist in index",
                ": No such file or directory",
                ": wrong type",
                ": does not match index",
            ];
            ends.iter()
                .find_map(|end| line.strip_suffix(end).map(str::to_owned))
        })
        .collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// Opens the folder that a path lies in, step by step and through no link. Nothing if it is not there, unless it is to
/// be `made`.
pub(super) fn parent<'a>(
    top: BorrowedFd<'_>,
    path: &'a [u8],
    made: bool,
) -> Result<Option<(OwnedFd, &'a [u8])>, WorkspaceError> {
    let fail = |errno: Errno| WorkspaceError::host("open the folder of", shown(path))(errno.into());
    let mut names = path.split(|byte| *byte == b'/').peekable();
    let mut folder = openat(top, c".", FOLDER, Mode::empty()).map_err(fail)?;
    loop {
        let name = names.next().unwrap_or_default();
        if names.peek().is_none() {
            return Ok(Some((folder, name)));
        }
        folder = match openat(&folder, name, FOLDER, Mode::empty()) {
            Ok(below) => below,
            Err(Errno::NOENT) if !made => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let is_file = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
                let link =
                    is_file.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
                if !made && !link {
                    return Ok(None);
                }
                let why = if link {
                    "lies behind a symbolic link"
                } else {
                    "lies below a file"
                };
                return Err(WorkspaceError::InTheWay {
                    path: shown(path),
                    why,
                });
            }
            Err(errno) => return Err(fail(errno)),
        };
    }
}
