//! A folder of the user's and what lies in it. Links are followed where they stay in the folder: what lies outside of it
//! was not given.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use super::folder::FolderError;

/// The folder, open.
#[derive(Debug)]
pub(super) struct Root {
    /// As it was given.
    pub(super) path: PathBuf,
    folder: OwnedFd,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(path, flags, Mode::empty()).map_err(|error| FolderError::Read {
            path: path.to_owned(),
            source: error.into(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            folder,
        })
    }

    pub(super) fn require_file(&self, path: &Path) -> Result<(), FolderError> {
        match self.kind(path)? {
            FileType::RegularFile => Ok(()),
            _ => Err(FolderError::Kind {
                path: self.path.join(path),
                expected: "file",
            }),
        }
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.open_at(path, OFlags::PATH)
            .map_or_else(|error| !is_missing(&error), |_| true)
    }

    pub(super) fn kind(&self, path: &Path) -> Result<FileType, FolderError> {
        let found = self.open_at(path, OFlags::PATH)?;
        let stat = fstat(found).map_err(|error| self.read_error(path, error))?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    /// Names in a folder, sorted: equal folders give equal archives.
    pub(super) fn names(&self, folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
        let path = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        if self.kind(path)? != FileType::Directory {
            return Err(FolderError::Kind {
                path: self.path.join(folder),
                expected: "folder",
            });
        }
        let opened = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::new(opened).map_err(|error| self.read_error(folder, error))? {
            let entry = entry.map_err(|error| self.read_error(folder, error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(PathBuf::from(OsStr::from_bytes(name)));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, FolderError> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(
            &self.folder,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            beneath,
        );
        opened.map_err(|error| match error {
            Errno::XDEV => FolderError::LeadsOut {
                path: self.path.join(path),
            },
            error => self.read_error(path, error),
        })
    }

    pub(super) fn read_error(&self, path: &Path, error: Errno) -> FolderError {
        FolderError::Read {
            path: self.path.join(path),
            source: error.into(),
        }
    }
}

fn is_missing(error: &FolderError) -> bool {
    matches!(error, FolderError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}
