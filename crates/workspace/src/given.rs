//! Folders of ours for temporary files that a git works in, another user's as well: filled while nobody else can enter, then
//! given away, and not touched by us from then on until they go.
//!
//! ```text
//!  TMPDIR/banger-git-XXXXXX   root's own: 0700 while it is filled, 0711 from then on
//!    git                      filled through descriptors, then the owner's
//!    …                        further ones, empty
//! ```
//!
//! The way to each of them stays root's: the owner can neither move one nor put a link in its place. The outer folder is
//! locked while it is in use, so that the next command finds what a killed one left ([`crate::leftover`]).

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use process::FileRights;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, fstat, mkdirat, open, openat, symlinkat,
};
use rustix::process::geteuid;

use crate::leftover;
use crate::owner::{Owner, Temporary};

const NAME: &str = "git";
/// How the names of the outer folders begin.
pub(crate) const PREFIX: &str = "banger-git-";
/// How often one is made that another command removes.
const MOST_TRIES: u32 = 10;
pub(crate) const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Folders that are being filled, and nobody else's yet.
#[derive(Debug)]
pub(crate) struct Filling {
    folder: Temporary,
    path: PathBuf,
    outer: OwnedFd,
    inner: OwnedFd,
    further: Vec<OwnedFd>,
    owner: Option<Owner>,
}

/// Folders that git works in. They go when this does.
#[derive(Debug)]
pub(crate) struct Given {
    _folder: Temporary,
    /// Its lock says that it is in use.
    _lock: OwnedFd,
    path: PathBuf,
}

impl Filling {
    /// An empty one, for the owner of what git looks at.
    pub(crate) fn new(owner: Option<Owner>) -> io::Result<Self> {
        let _own = FileRights::own();
        leftover::remove_once();
        let (folder, outer) = locked()?;
        let path = folder.path().canonicalize()?;
        if owner.is_some() {
            check_way(&path)?;
        }
        let inner = make(&outer, NAME)?;
        Ok(Self {
            folder,
            path,
            outer,
            inner,
            further: Vec::new(),
            owner,
        })
    }

    /// Adds a folder.
    pub(crate) fn folder(&self, name: &str) -> io::Result<()> {
        let _own = FileRights::own();
        give(&make(&self.inner, name)?, self.owner)
    }

    /// Adds a file.
    pub(crate) fn file(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let _own = FileRights::own();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.inner, name, flags, Mode::from_raw_mode(0o600))?);
        file.write_all(text)?;
        give(&file, self.owner)
    }

    /// Adds a link.
    pub(crate) fn link(&self, name: &Path, to: &Path) -> io::Result<()> {
        let _own = FileRights::own();
        symlinkat(to, &self.inner, name)?;
        if let Some((user, group)) = ids(self.owner) {
            chownat(&self.inner, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// Adds an empty folder beside what is filled; gives its path.
    pub(crate) fn beside(&mut self, name: &str) -> io::Result<PathBuf> {
        let _own = FileRights::own();
        self.further.push(make(&self.outer, name)?);
        Ok(self.path.join(name))
    }

    /// Gives all of it to its owner, the outer folder excepted.
    pub(crate) fn give(self) -> io::Result<Given> {
        let _own = FileRights::own();
        for folder in self.further.iter().chain([&self.inner]) {
            give(folder, self.owner)?;
        }
        if self.owner.is_some() {
            fchmod(&self.outer, Mode::from_raw_mode(0o711))?;
        }
        Ok(Given {
            path: self.path.join(NAME),
            _folder: self.folder,
            _lock: self.outer,
        })
    }
}

impl Given {
    /// The path of what was filled, over no link.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A new folder, in use from now on.
fn locked() -> io::Result<(Temporary, OwnedFd)> {
    for _ in 0..MOST_TRIES {
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let opened = open(folder.path(), FOLDER, Mode::empty());
        // Another command can take it for left over until it is locked.
        if let Ok(outer) = opened
            && leftover::lock(&outer, folder.path())
        {
            return Ok((Temporary::new(folder, None), outer));
        }
    }
    Err(io::Error::other("other commands remove it"))
}

fn make(folder: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    mkdirat(folder, name, Mode::RWXU)?;
    Ok(openat(folder, name, FOLDER, Mode::empty())?)
}

fn give(opened: &impl AsFd, owner: Option<Owner>) -> io::Result<()> {
    match ids(owner) {
        Some((user, group)) => Ok(fchown(opened, user, group)?),
        None => Ok(()),
    }
}

fn ids(owner: Option<Owner>) -> Option<(Option<Uid>, Option<Gid>)> {
    owner.map(|Owner { user, group }| (Some(Uid::from_raw(user)), Some(Gid::from_raw(group))))
}

/// Fails where another user could move a folder by changing one that it lies in.
fn check_way(path: &Path) -> io::Result<()> {
    for folder in path.ancestors().skip(1) {
        let found = fstat(open(folder, FOLDER, Mode::empty())?)?;
        let mode = Mode::from_raw_mode(found.st_mode);
        let open_to_others = mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX);
        if found.st_uid != geteuid().as_raw() || open_to_others {
            let why = format!(
                "another user can change `{}`, where temporary files lie (TMPDIR)",
                folder.display()
            );
            return Err(io::Error::other(why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::owner::rights;

    /// Nobody of this system; for a plain user, that user itself.
    fn owner() -> Option<Owner> {
        let other = Owner {
            user: 61_000,
            group: 61_000,
        };
        geteuid().is_root().then_some(other)
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let root_only = place.path().join("root-only");
        fs::write(&root_only, "root's").unwrap();
        (place, root_only)
    }

    #[test]
    fn while_a_folder_is_filled_its_owner_to_be_can_put_nothing_there() {
        let (_place, root_only) = place();
        let mut filling = Filling::new(owner()).unwrap();
        let inner = filling.path.join(NAME);
        let scratch = filling.beside("filters").unwrap();
        // At each step: whose it is, and what the owner can do.
        let look = |filling: &Filling| {
            for folder in [&filling.path, &inner, &scratch] {
                let known = folder.metadata().unwrap();
                assert_eq!(known.uid(), geteuid().as_raw());
                assert_eq!(known.mode() & 0o7777, 0o700);
            }
            if owner().is_some() {
                let _rights = rights(owner()).unwrap();
                for name in ["config", "info", "link", "info/exclude"] {
                    let refused = symlink(&root_only, inner.join(name)).unwrap_err();
                    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{name}");
                }
            }
        };
        look(&filling);
        filling.folder("info").unwrap();
        look(&filling);
        filling.file("config", b"text").unwrap();
        look(&filling);
        filling.link(Path::new("link"), &root_only).unwrap();
        look(&filling);
        let given = filling.give().unwrap();
        let user = owner().map_or(geteuid().as_raw(), |owner| owner.user);
        for name in ["", "info", "config", "link"] {
            let known = inner.join(name).symlink_metadata().unwrap();
            assert_eq!(known.uid(), user, "{name}");
        }
        assert_eq!(scratch.metadata().unwrap().uid(), user);
        assert_eq!(given.path(), inner);
        // The owner works in it, and cannot move it.
        if owner().is_some() {
            let rights = rights(owner()).unwrap();
            fs::write(inner.join("made"), "").unwrap();
            fs::rename(&inner, inner.with_file_name("aside")).unwrap_err();
            fs::remove_dir_all(&inner).unwrap_err();
            fs::write(inner.with_file_name("beside"), "").unwrap_err();
            // Nor does what the owner leaves lead astray who takes it away.
            symlink(root_only.parent().unwrap(), inner.join("out")).unwrap();
            drop(rights);
        }
        drop(given);
        assert!(!inner.parent().unwrap().exists());
        assert_eq!(fs::read_to_string(&root_only).unwrap(), "root's");
    }

    #[test]
    fn what_is_there_already_is_neither_written_over_nor_followed() {
        let (_place, root_only) = place();
        let filling = Filling::new(owner()).unwrap();
        let inner = filling.path.join(NAME);
        for name in ["config", "link", "info"] {
            symlink(&root_only, inner.join(name)).unwrap();
        }
        for outcome in [
            filling.file("config", b"text"),
            filling.link(Path::new("link"), Path::new("/")),
            filling.folder("info"),
        ] {
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
        let known = root_only.metadata().unwrap();
        assert_eq!((known.uid(), known.len()), (geteuid().as_raw(), 6));
    }
}
