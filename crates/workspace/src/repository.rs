//! A repository of the user's with a working tree: found, looked through, and made ready for git to look at.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use process::FileRights;

use crate::beneath::Folder;
use crate::config::{About, Settings, User};
use crate::digest::Format;
use crate::error::{WorkspaceError, shown};
use crate::git::Git;
use crate::host::Host;
use crate::inspect::{Parts, head, is_id, is_ref};
use crate::layout::Layout;
use crate::owner::{self, Owner};
use crate::shadow::Mould;
use crate::sight::Sight;

/// Most bytes of a file of refs.
const LARGEST_REFS: u64 = 256 << 20;

/// What is checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A branch, by its name below `refs/heads/`.
    Branch(String),
    /// A commit, without a branch.
    Detached,
}

/// The user's word on a repository, and the user's folder for notes.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Objects that it borrows of other repositories (`git clone --shared`, `--reference`) may be used, and go along.
    pub alternates: bool,
    /// Where it is noted that a patch is being applied, for [`crate::recover`]: a folder of the user's alone. Without
    /// one, an apply that is killed cannot be undone.
    pub records: Option<PathBuf>,
}

/// A repository of the user's with a working tree.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) git: Git,
    /// The folder that all of its files lie in.
    pub top: PathBuf,
    pub(crate) folder: PathBuf,
    /// Where its refs and objects lie.
    pub(crate) common: PathBuf,
    /// What is checked out.
    pub head: Head,
    /// The commit that is checked out; none before the first one.
    pub commit: Option<String>,
    /// The user's settings, and its own after them: none of these is believed by git.
    pub(crate) settings: Arc<Settings>,
    pub(crate) parts: Arc<Parts>,
    pub(crate) records: Option<PathBuf>,
    /// Whether files have attributes by rules that are in no tree.
    pub(crate) has_attributes: bool,
    mould: Arc<Mould>,
}

impl Repository {
    /// Finds the repository that `path` lies in, on the plainest terms.
    ///
    /// # Errors
    /// As [`Repository::find_on`].
    pub fn find(path: &Path) -> Result<Self, WorkspaceError> {
        Self::find_on(path, Terms::default())
    }

    /// Finds the repository that `path` lies in.
    ///
    /// # Errors
    /// No git, no such path, no repository, one without a working tree, one of another user's, or one that leads
    /// elsewhere: by its settings, or by a link in a place where git looks.
    pub fn find_on(path: &Path, terms: Terms) -> Result<Self, WorkspaceError> {
        let host = Host::find()?;
        let (layout, owner) = Layout::find(path)?;
        let _rights = owner::rights(owner)?;
        let mut about = About {
            folder: layout.folder.path.clone(),
            over_links: layout.over_links(path),
            branch: None,
            remotes: Vec::new(),
            home: host.home.clone(),
        };
        // What stands there wrongly is said once it is known to be a repository of the user's.
        let written = head(&layout.folder).unwrap_or_default();
        let written = written.strip_prefix(b"ref: refs/heads/");
        about.branch = written.map(<[u8]>::to_vec);
        let mut reader = layout.reader(about);
        let safe = host
            .settings()
            .iter()
            .filter(|(_, setting)| setting.is("safe", "directory"));
        let safe = safe.map(|(_, setting)| setting.value.as_deref().unwrap_or_default());
        layout.check_owner(safe, host.home.as_deref())?;
        let own = layout.settings(path, &mut reader)?;
        let parts = Arc::new(Parts::of(&layout, &reader, &own, terms.alternates)?);
        let (user, programs) = {
            let _own = FileRights::own();
            let user = User::of(&host, &reader.about)?;
            let programs = host.filters(&user.settings);
            (user, programs)
        };
        let has_attributes = !user.attributes.is_empty() || parts.have_attributes();
        let (mould, settings) = Mould::of(Arc::clone(&parts), own, user, owner);
        let (mould, settings) = (Arc::new(mould), Arc::new(settings));
        let common = layout.common().path.clone();
        let mut sight = Sight {
            read: vec![
                layout.top.path.clone(),
                layout.folder.path.clone(),
                common.clone(),
            ],
            programs,
            owner,
            ..Sight::default()
        };
        sight.read.extend(parts.borrowed.iter().cloned());
        sight.read.sort_unstable();
        sight.read.dedup();
        let git = Git::within(&host, &layout.top.path, sight)
            // Without a tree: whatever a git does, it reads the rules of one first, and waits where they are a pipe.
            .with("GIT_IMPLICIT_WORK_TREE", "0")
            .by(mould.shadow(None)?);

        let head = match parts.branch() {
            Some(name) if name.ends_with(b"/.invalid") => git.line(["symbolic-ref", "-q", "HEAD"])?,
            name => name.map(<[u8]>::to_vec),
        };
        let head = match head {
            Some(name) => Head::Branch(branch(&name)?),
            None => Head::Detached,
        };
        let commit = git.line(["rev-parse", "-q", "--verify", "HEAD^{commit}"])?;
        Ok(Self {
            git,
            top: layout.top.path.clone(),
            folder: layout.folder.path.clone(),
            common,
            head,
            commit: commit.map(object).transpose()?,
            settings,
            has_attributes,
            parts,
            records: terms.records,
            mould,
        })
    }

    /// The commit that is checked out at a working tree's top; none before the first one, or where there is none. Nothing
    /// is executed, and only the files of its refs are read.
    ///
    /// # Errors
    /// It is no repository, or one that leads elsewhere.
    pub fn head_of(top: &Path) -> Result<Option<String>, WorkspaceError> {
        let (layout, owner) = Layout::find(top)?;
        let _rights = owner::rights(owner)?;
        if layout.common().stat(Path::new("reftable"))?.is_some() {
            // Only git reads its refs.
            return Self::find(top).map(|repository| repository.commit);
        }
        let written = head(&layout.folder)?;
        let Some(name) = written.strip_prefix(b"ref: ") else {
            return object(written).map(Some);
        };
        let common = layout.common();
        if !is_ref(name) {
            return Ok(None);
        }
        let path = Path::new(OsStr::from_bytes(name));
        if let Some(text) = common.read(path, 4096)? {
            let id = text.trim_ascii_end();
            return Ok(is_id(id).then(|| String::from_utf8_lossy(id).into_owned()));
        }
        let packed = common.read("packed-refs", LARGEST_REFS)?.unwrap_or_default();
        let mut lines = packed.split(|byte| *byte == b'\n');
        let id = lines.find_map(|line| {
            let mut words = line.splitn(2, |byte| *byte == b' ');
            let id = words.next().filter(|id| is_id(id))?;
            (words.next()? == name).then(|| String::from_utf8_lossy(id).into_owned())
        });
        Ok(id)
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
    pub(crate) fn objects(&self) -> PathBuf {
        self.common.join("objects")
    }

    /// How its objects are named.
    pub(crate) fn format(&self) -> Format {
        match self.settings.get("extensions", "objectformat") {
            Some(b"sha256") => Format::Sha256,
            _ => Format::Sha1,
        }
    }

    /// Whether it has a commit of that id.
    pub(crate) fn has_commit(&self, id: &str) -> Result<bool, WorkspaceError> {
        let commit = format!("{id}^{{commit}}");
        let asked = self
            .git
            .output("look for a commit", ["cat-file", "-e", &commit])?;
        Ok(asked.status.success())
    }

    /// Makes sure that the commit that a guest was given is still there.
    pub(crate) fn check_base(&self, id: &str) -> Result<(), WorkspaceError> {
        match self.has_commit(id)? {
            true => Ok(()),
            false => Err(WorkspaceError::BaseGone {
                commit: shown(&id.as_bytes()[..id.len().min(12)]),
            }),
        }
    }

    /// Its owner, where root looks at another user's.
    pub(crate) fn owner(&self) -> Option<Owner> {
        self.git.owner()
    }

    /// The rights to work in it.
    pub(crate) fn rights(&self) -> Result<Option<FileRights>, WorkspaceError> {
        owner::rights(self.owner())
    }

    /// git that can make objects, and a branch with its reflog, and still writes nothing else of the repository: no
    /// setting, no hook, no file of the working tree.
    pub(crate) fn git_for_branches(&self) -> Result<Git, WorkspaceError> {
        let common = Folder::open(&self.common)?;
        let logs = self.common.join("logs");
        let logs = common.check_tree(Path::new("logs"))?.then_some(logs);
        let shadow = self.mould.shadow(logs.as_deref())?;
        let path = shadow.path().to_owned();
        let mut git = self.git.clone().by(shadow).writing_ours(&path);
        if let Some(logs) = &logs {
            git = git.writing(logs);
        }
        for part in ["refs", "objects", "reftable"] {
            if self.common.join(part).is_dir() {
                git = git.writing(&self.common.join(part));
            }
        }
        if self.settings.get("core", "logallrefupdates").is_none() {
            // As where there is a tree.
            git.set("core.logAllRefUpdates", "true");
        }
        // Where no settings say who the user is, the host may.
        let known = |name| self.settings.get("user", name).is_some();
        if !(known("name") && known("email"))
            && let Some((name, email)) = self.git.host().identity()
        {
            for variable in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
                git = git.with(variable, &name);
            }
            for variable in ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
                git = git.with(variable, &email);
            }
        }
        Ok(git)
    }

    /// Whether a branch, by its whole name, is checked out in any working tree of the repository.
    pub(crate) fn is_checked_out(&self, full: &str) -> Result<bool, WorkspaceError> {
        let common = Folder::open(&self.common)?;
        let trees = common.names(Path::new("worktrees"))?;
        if self.settings.get("extensions", "refstorage") == Some(b"reftable") {
            // Heads of other working trees are not read there.
            let own = matches!(&self.head, Head::Branch(name) if full == format!("refs/heads/{name}"));
            return Ok(own || !trees.is_empty());
        }
        let heads = trees
            .iter()
            .map(|name| Path::new("worktrees").join(OsStr::from_bytes(name)).join("HEAD"));
        for path in heads.chain([PathBuf::from("HEAD")]) {
            let text = common.read(&path, 4096)?.unwrap_or_default();
            let name = text.strip_prefix(b"ref:").unwrap_or_default();
            if name.trim_ascii() == full.as_bytes() {
                return Ok(true);
            }
        }
        Ok(false)
    }
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
