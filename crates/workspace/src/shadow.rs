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
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Settings, User, of_repository, of_user, text_of};
use crate::error::WorkspaceError;
use crate::given::{Filling, Given};
use crate::inspect::Parts;
use crate::owner::Owner;

/// The folder. It goes when this does.
#[derive(Debug)]
pub(crate) struct Shadow {
    given: Given,
    /// A folder beside it that git can write, for what filters keep.
    pub(crate) scratch: Option<PathBuf>,
}

/// What a repository's shadow is made from.
#[derive(Clone, Debug)]
pub(crate) struct Mould {
    pub(crate) parts: Arc<Parts>,
    /// Files of settings: what counts of the repository's own, and of the user's.
    own: Vec<u8>,
    user: Vec<u8>,
    /// What the user's files of ignored files and of attributes say.
    excludes: Vec<u8>,
    attributes: Vec<u8>,
    /// Whether the user has filters.
    has_filters: bool,
    /// Whom it is for, where root looks at another user's.
    owner: Option<Owner>,
}

impl Mould {
    /// Of what was read: the mould, and all settings, the repository's own behind the user's.
    pub(crate) fn of(parts: Arc<Parts>, own: Settings, user: User, owner: Option<Owner>) -> (Self, Settings) {
        let mould = Self {
            parts,
            own: text_of(of_repository(&own)),
            user: text_of(of_user(&user.settings)),
            excludes: user.excludes,
            attributes: user.attributes,
            has_filters: user.settings.0.iter().any(|setting| setting.section == b"filter"),
            owner,
        };
        (mould, user.settings.and(own))
    }

    /// Makes a shadow. `logs` is where the reflogs lie, for a git that writes them.
    pub(crate) fn shadow(&self, logs: Option<&Path>) -> Result<Shadow, WorkspaceError> {
        self.filled(logs)
            .map_err(WorkspaceError::host("make", "a folder for git"))
    }

    fn filled(&self, logs: Option<&Path>) -> io::Result<Shadow> {
        let parts = &self.parts;
        let mut filling = Filling::new(self.owner)?;
        for folder in ["info", "user"] {
            filling.folder(folder)?;
        }
        filling.file("HEAD", &[&*parts.head, b"\n"].concat())?;
        filling.file("config", &self.own)?;
        for (name, text) in [
            ("shallow", &parts.shallow),
            ("info/sparse-checkout", &parts.sparse),
            ("info/exclude", &parts.exclude),
            ("info/attributes", &parts.attributes),
        ] {
            if let Some(text) = text {
                filling.file(name, text)?;
            }
        }
        let links = parts.linked.iter().map(|(name, path)| (Path::new(name), path));
        let indexes = parts.indexes.iter();
        let indexes = indexes.map(|(name, path)| (Path::new(OsStr::from_bytes(name)), path));
        for (name, path) in links.chain(indexes) {
            filling.link(name, path)?;
        }
        if let Some(logs) = logs {
            filling.link(Path::new("logs"), logs)?;
        }
        filling.file("user/config", &self.user)?;
        let excludes = parts.named_exclude.as_ref().unwrap_or(&self.excludes);
        filling.file("user/ignore", excludes)?;
        let attributes = parts.named_attributes.as_ref().unwrap_or(&self.attributes);
        filling.file("user/attributes", attributes)?;
        // git-lfs keeps what it looked at, and would do so in the repository.
        let scratch = self.has_filters.then(|| filling.beside("filters"));
        Ok(Shadow {
            scratch: scratch.transpose()?,
            given: filling.give()?,
        })
    }
}

impl Shadow {
    /// One without anything, for git to work on files that are in no repository.
    pub(crate) fn empty(settings: &Settings, owner: Option<Owner>) -> Result<Self, WorkspaceError> {
        let make = || -> io::Result<Self> {
            let filling = Filling::new(owner)?;
            for folder in ["info", "user", "objects", "refs"] {
                filling.folder(folder)?;
            }
            filling.file("HEAD", b"ref: refs/heads/main\n")?;
            filling.file("config", &text_of(&settings.0))?;
            for name in ["user/config", "user/ignore", "user/attributes"] {
                filling.file(name, b"")?;
            }
            Ok(Self {
                given: filling.give()?,
                scratch: None,
            })
        };
        make().map_err(WorkspaceError::host("make", "a folder for git"))
    }

    /// Its path, over no link.
    pub(crate) fn path(&self) -> &Path {
        self.given.path()
    }
}
