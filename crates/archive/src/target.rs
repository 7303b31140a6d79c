//! Where a stream is unpacked to, by the rules of `docker cp`.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;

use crate::error::ArchiveError;
use crate::top::{self, Top};
use crate::{link, system};

/// How a stream and a path go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The path is a folder that is there; the stream's entries go into it under their own names.
    Inside,
    /// The stream holds one tree, which is copied to the path: into it if that is a folder that is there, under its
    /// own name; else as it. A tree whose root is called `.` is merged into the folder. The stream's first member says
    /// what the tree is called, and all others are of it: for a stream from somebody who may choose names.
    Copy,
    /// Likewise, and the tree is called this, whatever the stream says.
    CopyOf(Top),
}

/// What the first entry of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Folder,
    File,
    /// A link, a device or a pipe.
    Other,
}

/// A path to unpack to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
    placement: Placement,
}

/// The folder that entries are made in, and what becomes of their first name.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) folder: OwnedFd,
    /// The path of the folder, for messages.
    pub(crate) path: Vec<u8>,
    /// Name that all entries begin with.
    pub(crate) top: Option<Vec<u8>>,
    /// Name to put in its place, or before them.
    pub(crate) called: Option<Vec<u8>>,
}

impl Target {
    /// Unpack to `path`.
    pub fn new(path: impl Into<PathBuf>, placement: Placement) -> Self {
        Self {
            path: path.into(),
            placement,
        }
    }

    /// Finds the place, given the first name of the stream's first entry (none for a root called `.`), and what that
    /// is. A file goes where a link at the path leads, as with `cp`; a link takes its place.
    pub(crate) fn locate(&self, first: Option<&[u8]>, root: Root) -> Result<Located, ArchiveError> {
        let bytes = self.path.as_os_str().as_bytes();
        let top = match &self.placement {
            Placement::Inside => None,
            Placement::Copy => first,
            Placement::CopyOf(top) => top.first(),
        };
        let is_folder = root == Root::Folder
            || matches!(self.placement, Placement::CopyOf(Top::Contents | Top::Nameless));
        let fail = |errno| ArchiveError::file("write to", bytes)(errno);
        let found = match system::open(&self.path, OFlags::PATH) {
            Ok(found) => {
                let stat = fstat(&found).map_err(fail)?;
                let kind = FileType::from_raw_mode(stat.st_mode);
                if !matches!(kind, FileType::Directory | FileType::RegularFile) {
                    // A file would take its place: as root, that of the whole machine's /dev/null.
                    return Err(ArchiveError::refused(
                        bytes,
                        "is a device, a pipe or a socket, and no file takes its place",
                    ));
                }
                Some((found, kind == FileType::Directory))
            }
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(fail(errno)),
        };
        let inside = |folder| Located {
            folder,
            path: bytes.to_vec(),
            top: top.map(<[u8]>::to_vec),
            called: None,
        };
        match (&self.placement, found) {
            (Placement::CopyOf(Top::Nameless), Some((_, true))) => Err(ArchiveError::refused(
                bytes,
                "is there, and what is copied has no name to have in it",
            )),
            (_, Some((folder, true))) => Ok(inside(folder)),
            (Placement::Inside, Some((_, false))) => Err(fail(Errno::NOTDIR)),
            (Placement::Inside, None) => Err(fail(Errno::NOENT)),
            (Placement::Copy | Placement::CopyOf(_), found) => {
                if found.is_some() && (is_folder || bytes.ends_with(b"/")) {
                    return Err(ArchiveError::refused(bytes, "is not a folder"));
                }
                if found.is_none() && !is_folder && bytes.ends_with(b"/") {
                    return Err(ArchiveError::refused(bytes, "is a folder that is not there"));
                }
                match link::at(&self.path) {
                    Some(link) if root != Root::Other => {
                        let (folder, parent, name) = link.follow(bytes, found)?;
                        Ok(Located {
                            folder,
                            path: parent,
                            top: top.map(<[u8]>::to_vec),
                            called: Some(name),
                        })
                    }
                    _ => self.beside(top, fail),
                }
            }
        }
    }

    /// In the folder that the path lies in, under the path's last name.
    fn beside(
        &self,
        top: Option<&[u8]>,
        fail: impl Fn(Errno) -> ArchiveError,
    ) -> Result<Located, ArchiveError> {
        let (Some(name), Some(parent)) = (self.path.file_name(), self.path.parent()) else {
            return Err(fail(Errno::NOENT));
        };
        let parent = if parent == Path::new("") {
            Path::new(".")
        } else {
            parent
        };
        let folder = system::open(parent, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|errno| ArchiveError::file("write to", parent.as_os_str().as_bytes())(errno))?;
        Ok(Located {
            folder,
            path: parent.as_os_str().as_bytes().to_vec(),
            top: top.map(<[u8]>::to_vec),
            called: Some(name.as_bytes().to_vec()),
        })
    }
}

impl Located {
    /// An entry's place below the folder, name by name.
    pub(crate) fn place<'a>(&'a self, path: &'a [u8]) -> Result<Vec<&'a [u8]>, ArchiveError> {
        let mut names = components(path)?;
        top::check(self.top.as_deref(), path, &names)?;
        match (&self.top, &self.called) {
            (Some(_), Some(called)) => names[0] = called,
            (None, Some(called)) => names.insert(0, called),
            (_, None) => {}
        }
        Ok(names)
    }

    /// The one name that anything gets in the folder, if there is just one.
    pub(crate) fn only(&self) -> Option<&[u8]> {
        self.called.as_deref().or(self.top.as_deref())
    }
}

/// Longest file name and path of Linux, and more levels than a tree has that is no attack.
const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4095;
const DEPTH: usize = 512;

/// Splits a path into names, refusing what no entry may be called. The root has none.
pub(crate) fn components(path: &[u8]) -> Result<Vec<&[u8]>, ArchiveError> {
    let refuse = |why| Err(ArchiveError::refused(&path[..path.len().min(PATH_MAX)], why));
    if path.len() > PATH_MAX {
        return refuse("is longer than a path may be");
    }
    if path.is_empty() || path.contains(&0) {
        return refuse("is no name");
    }
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return refuse("leads out of the folder"),
            name if name.len() > NAME_MAX => return refuse("has a name that is too long"),
            name => names.push(name),
        }
    }
    if names.len() > DEPTH {
        return refuse("lies too deep");
    }
    Ok(names)
}
