//! Finding the repository that a path lies in, and where its head is.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::belongs::belongs;
use crate::error::{WorkspaceError, shown};
use crate::git::{Git, said};

/// What is checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A branch, by its name below `refs/heads/`.
    Branch(String),
    /// A commit, without a branch.
    Detached,
}

/// A repository of the user's with a working tree.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) git: Git,
    /// The folder that all of its files lie in.
    pub top: PathBuf,
    pub(crate) folder: PathBuf,
    /// What is checked out.
    pub head: Head,
    /// The commit that is checked out; none before the first one.
    pub commit: Option<String>,
}

impl Repository {
    /// Finds the repository that `path` lies in.
    ///
    /// # Errors
    /// No git, no such path, no repository, one without a working tree, or one that claims files outside of itself.
    pub fn find(path: &Path) -> Result<Self, WorkspaceError> {
        let asked = path.canonicalize().map_err(|source| WorkspaceError::Missing {
            path: path.to_owned(),
            source,
        })?;
        let within = if asked.is_dir() {
            &asked
        } else {
            asked.parent().unwrap_or(&asked)
        };
        let git = Git::within(within);
        git.check_version()?;
        let found = git.output("find the repository", ["rev-parse", "--show-toplevel"])?;
        if !found.status.success() {
            return Err(not_found(&git, path, &found.stderr));
        }
        let top = canonical(path_of(found.stdout))?;
        let folder = ["rev-parse", "--absolute-git-dir"];
        let folder = canonical(path_of(git.read("find the repository", folder)?))?;
        // `core.worktree` may say anything; a tree that does not lead back to this repository is not its own.
        let back = Git::within(&top).output("find the repository", ["rev-parse", "--absolute-git-dir"])?;
        let back = back
            .status
            .success()
            .then(|| canonical(path_of(back.stdout)))
            .transpose()?;
        if !asked.starts_with(&top) || !top.join(".git").exists() || back.as_ref() != Some(&folder) {
            return Err(WorkspaceError::ForeignTree {
                path: path.to_owned(),
                claimed: top,
            });
        }
        let mut git = git.at(&top);
        if !belongs(&git, &top, &folder)? {
            return Err(WorkspaceError::ForeignRepository {
                path: path.to_owned(),
                repository: folder,
            });
        }
        git.disarm()?;
        let head = match git.line(["symbolic-ref", "-q", "HEAD"])? {
            Some(name) => Head::Branch(branch(&name)?),
            None => Head::Detached,
        };
        let commit = git.line(["rev-parse", "-q", "--verify", "HEAD^{commit}"])?;
        let commit = commit.map(object).transpose()?;
        Ok(Self {
            git,
            top,
            folder,
            head,
            commit,
        })
    }

    /// The commit that is checked out at a working tree's top; none before the first one, or where there is none.
    ///
    /// # Errors
    /// git does not run.
    pub fn head_of(top: &Path) -> Result<Option<String>, WorkspaceError> {
        let line = Git::within(top).line(["rev-parse", "-q", "--verify", "HEAD^{commit}"])?;
        line.map(object).transpose()
    }

    /// The commit that a reference of the user's means.
    ///
    /// # Errors
    /// There is none.
    pub fn resolve(&self, reference: &str) -> Result<String, WorkspaceError> {
        let asked = format!("{reference}^{{commit}}");
        let line = self
            .git
            .line(["rev-parse", "-q", "--verify", "--end-of-options", &asked])?;
        line.map(object)
            .transpose()?
            .ok_or_else(|| WorkspaceError::NoSuchCommit {
                reference: reference.to_owned(),
            })
    }

    /// Whether a reference is the name of a local branch.
    ///
    /// # Errors
    /// git does not run.
    pub(crate) fn is_branch(&self, name: &str) -> Result<bool, WorkspaceError> {
        let full = format!("refs/heads/{name}");
        let found = self
            .git
            .line(["rev-parse", "-q", "--verify", "--end-of-options", &full])?;
        Ok(found.is_some())
    }

    /// Checks a name for a new branch.
    ///
    /// # Errors
    /// git refuses it, or it looks like an option.
    pub fn check_branch(&self, name: &str) -> Result<(), WorkspaceError> {
        let full = format!("refs/heads/{name}");
        let sound = self.git.output("check the name", ["check-ref-format", &full])?;
        if name.starts_with('-') || name == "HEAD" || !sound.status.success() {
            return Err(WorkspaceError::BadBranch {
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    /// The folder of its objects.
    pub(crate) fn objects(&self) -> Result<PathBuf, WorkspaceError> {
        let line = self
            .git
            .read("find its objects", ["rev-parse", "--git-path", "objects"])?;
        canonical(self.top.join(path_of(line)))
    }
}

fn not_found(git: &Git, path: &Path, stderr: &[u8]) -> WorkspaceError {
    let path = path.to_owned();
    let said = said(stderr);
    // git is told not to enter bare repositories that it finds by itself, and names them when it refuses.
    let bare = said.contains("must be run in a work tree") || said.contains("bare repository");
    let owned = git.folder_is_bare();
    if bare || owned {
        return WorkspaceError::Bare { path };
    }
    WorkspaceError::NotARepository { path, said }
}

impl Git {
    fn folder_is_bare(&self) -> bool {
        let bare = self.line(["--git-dir=.", "rev-parse", "--is-bare-repository"]);
        matches!(bare, Ok(Some(line)) if line == b"true")
    }
}

pub(crate) fn path_of(mut line: Vec<u8>) -> PathBuf {
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    OsString::from_vec(line).into()
}

fn canonical(path: PathBuf) -> Result<PathBuf, WorkspaceError> {
    path.canonicalize()
        .map_err(|source| WorkspaceError::Missing { path, source })
}

fn branch(full: &[u8]) -> Result<String, WorkspaceError> {
    let name = full.strip_prefix(b"refs/heads/").unwrap_or(full);
    String::from_utf8(name.to_vec()).map_err(|_| WorkspaceError::BadBranch { name: shown(name) })
}

/// The id of an object as git prints it.
pub(crate) fn object(line: Vec<u8>) -> Result<String, WorkspaceError> {
    let text = String::from_utf8(line).unwrap_or_default();
    let sound = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound
        .then_some(text)
        .ok_or(WorkspaceError::Answer("an id of an object was expected"))
}
