//! A stream of chosen files: what a list names, under names of the caller's, and members that are in memory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::attributes::Attributes;
use crate::error::ArchiveError;
use crate::header::kind;
use crate::pack::{PackOptions, Packer};
use crate::system;
use crate::target::components;

/// A tar stream that is made member by member. Files lie below one folder; none is read through a link.
pub struct Members<'a> {
    packer: Packer<'a>,
    root: OwnedFd,
    /// The folder that the last file lay in, since lists are sorted.
    folder: Option<(PathBuf, OwnedFd)>,
}

impl<'a> Members<'a> {
    /// Begins a stream of files below `root`; `send` takes it, piece by piece.
    ///
    /// # Errors
    /// `root` cannot be opened as a folder.
    pub fn below(
        root: &Path,
        send: &'a mut dyn FnMut(Bytes) -> io::Result<()>,
    ) -> Result<Self, ArchiveError> {
        let bytes = root.as_os_str().as_bytes();
        let opened = system::open(root, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| ArchiveError::file("read", bytes)(errno))?;
        Ok(Self {
            packer: Packer::new(PackOptions::default(), bytes.to_vec(), send),
            root: opened,
            folder: None,
        })
    }

    /// Adds a file that is in memory, with these rights.
    ///
    /// # Errors
    /// The stream is not taken.
    pub fn bytes(&mut self, name: &[u8], mode: u32, data: &[u8]) -> Result<(), ArchiveError> {
        let attributes = Attributes {
            mode,
            ..Attributes::default()
        };
        self.packer.path = name.to_vec();
        let size = data.len() as u64;
        self.packer
            .head(kind::FILE, &attributes, size, b"", (0, 0), &[])?;
        self.packer.put(data)?;
        self.packer.pad(size)
    }

    /// Adds the file or link at `path` below the root, under the name `prefix/path`. `false` if there is neither, or
    /// only through a link.
    ///
    /// # Errors
    /// It cannot be read, the path leads out of the root, or the stream is not taken.
    pub fn file(&mut self, prefix: &str, path: &[u8]) -> Result<bool, ArchiveError> {
        let names = components(path)?;
        let Some((name, parents)) = names.split_last() else {
            return Err(ArchiveError::refused(path, "is no name of a file"));
        };
        self.packer.path = [prefix.as_bytes(), b"/", &names.join(&b'/')].concat();
        let gone = |errno| matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP);
        let folder = match self.open(parents) {
            Ok(folder) => folder,
            Err(errno) if gone(errno) => return Ok(false),
            Err(errno) => return Err(self.packer.fail(errno)),
        };
        let found = match statat(&folder.1, *name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(errno) if gone(errno) => return Ok(false),
            Err(errno) => return Err(self.packer.fail(errno)),
        };
        let there = matches!(found, FileType::RegularFile | FileType::Symlink);
        if there {
            self.packer.entry(folder.1.as_fd(), name, found)?;
        }
        self.folder = Some(folder);
        Ok(there)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// It is not taken.
    pub fn end(mut self) -> Result<(), ArchiveError> {
        self.packer.end()
    }

    /// Ends the stream with a line that tells whoever unpacks it why there is no more.
    ///
    /// # Errors
    /// It is not taken.
    pub fn give_up(mut self, why: &str) -> Result<(), ArchiveError> {
        self.packer.break_off(&why.replace(['\n', '\r'], " "))
    }

    fn open(&mut self, parents: &[&[u8]]) -> Result<(PathBuf, OwnedFd), Errno> {
        let path = parents.iter().map(|name| std::ffi::OsStr::from_bytes(name));
        let path: PathBuf = path.collect();
        if let Some(last) = self.folder.take().filter(|(last, _)| *last == path) {
            return Ok(last);
        }
        let step =
            |at: BorrowedFd<'_>, name: &[u8]| openat(at, name, system::FOLDER | OFlags::PATH, Mode::empty());
        let mut folder = step(self.root.as_fd(), b".")?;
        for name in parents {
            folder = step(folder.as_fd(), name)?;
        }
        Ok((path, folder))
    }
}

impl std::fmt::Debug for Members<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Members").finish_non_exhaustive()
    }
}
