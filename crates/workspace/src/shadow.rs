//! What git takes for a repository while it looks at one: a folder of ours, with copies of what says how to read it, and
//! links to what was looked through.
//!
//! ```text
//!  shadow/HEAD, config, shallow, info/*     written here, from what was read and found harmless
//!  shadow/refs, objects, packed-refs, …  ─► the repository's own
//!  shadow/user/{config,ignore,attributes}   the user's settings, likewise
//! ```
//!
//! So no setting, hook or include of the repository's reaches git, confined or not, whatever it is called.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::config::{Settings, User, of_repository, of_user};
use crate::error::WorkspaceError;
use crate::inspect::Parts;

/// The folder. It goes when this does.
#[derive(Debug)]
pub(crate) struct Shadow {
    _folder: TempDir,
    path: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Shadow {
    /// An empty one. Root's belongs to the owner of what is looked at.
    fn new(owner: Option<(u32, u32)>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("banger-git-").tempdir()?;
        let path = folder.path().canonicalize()?;
        let shadow = Self {
            _folder: folder,
            path,
            owner,
        };
        shadow.give(Path::new(""))?;
        Ok(shadow)
    }

    /// One of a repository.
    pub(crate) fn of_repository(
        parts: &Parts,
        settings: &Settings,
        user: &User,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, WorkspaceError> {
        Self::filled(parts, settings, user, owner).map_err(WorkspaceError::host("make", "a folder for git"))
    }

    fn filled(
        parts: &Parts,
        settings: &Settings,
        user: &User,
        owner: Option<(u32, u32)>,
    ) -> io::Result<Self> {
        let shadow = Self::new(owner)?;
        for folder in ["info", "user"] {
            shadow.folder(folder)?;
        }
        shadow.file("HEAD", &[&*parts.head, b"\n"].concat())?;
        shadow.file("config", &of_repository(settings).text())?;
        for (name, text) in [
            ("shallow", &parts.shallow),
            ("info/sparse-checkout", &parts.sparse),
            ("info/exclude", &parts.exclude),
            ("info/attributes", &parts.attributes),
        ] {
            if let Some(text) = text {
                shadow.file(name, text)?;
            }
        }
        let links = parts.linked.iter().map(|(name, path)| (Path::new(name), path));
        let indexes = parts.indexes.iter();
        let indexes = indexes.map(|(name, path)| (Path::new(OsStr::from_bytes(name)), path));
        for (name, path) in links.chain(indexes) {
            symlink(path, shadow.path.join(name))?;
        }
        shadow.file("user/config", &of_user(&user.settings).text())?;
        shadow.file(
            "user/ignore",
            parts.named_exclude.as_ref().unwrap_or(&user.excludes),
        )?;
        shadow.file(
            "user/attributes",
            parts.named_attributes.as_ref().unwrap_or(&user.attributes),
        )?;
        Ok(shadow)
    }

    /// One without anything, for git to work on files that are in no repository.
    pub(crate) fn empty(settings: &Settings, owner: Option<(u32, u32)>) -> Result<Self, WorkspaceError> {
        let make = || -> io::Result<Self> {
            let shadow = Self::new(owner)?;
            for folder in ["info", "user", "objects", "refs"] {
                shadow.folder(folder)?;
            }
            shadow.file("HEAD", b"ref: refs/heads/main\n")?;
            shadow.file("config", &settings.text())?;
            for name in ["user/config", "user/ignore", "user/attributes"] {
                shadow.file(name, b"")?;
            }
            Ok(shadow)
        };
        make().map_err(WorkspaceError::host("make", "a folder for git"))
    }

    /// Its path, over no link.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it that git can write, for what filters keep.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf, WorkspaceError> {
        self.folder(name)
            .map_err(WorkspaceError::host("make", "a folder for git"))?;
        Ok(self.path.join(name))
    }

    fn folder(&self, name: &str) -> io::Result<()> {
        fs::create_dir(self.path.join(name))?;
        self.give(Path::new(name))
    }

    fn file(&self, name: &str, text: &[u8]) -> io::Result<()> {
        fs::write(self.path.join(name), text)?;
        self.give(Path::new(name))
    }

    fn give(&self, name: &Path) -> io::Result<()> {
        match self.owner {
            Some((user, group)) => chown(self.path.join(name), Some(user), Some(group)),
            None => Ok(()),
        }
    }
}
