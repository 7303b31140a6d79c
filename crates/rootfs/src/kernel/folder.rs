//! A kernel in a folder of the user's, sent in the plain form.
//!
//! ```text
//!   DIR/vmlinux | vmlinuz | bzImage | [boot/]vmlinuz-*      ─► vmlinux
//!   DIR/initrd.img                                          ─► initrd.img
//!   DIR/modules | modules/VERSION | [usr/]lib/modules/VERSION ─► modules/…
//! ```
//!
//! Links are followed where they stay in the folder: what lies outside of it was not given.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use super::members::{INITRD, LISTS, MODULES, VMLINUX};
use super::modules::name_of;
use super::package::{LARGEST_IMAGE, LARGEST_INITRD};

/// Names of a kernel's file, the best first.
const IMAGES: [&str; 3] = [VMLINUX, "vmlinuz", "bzImage"];
/// Links that every installed kernel has, to where it was built.
const TO_SOURCES: [&[u8]; 2] = [b"build", b"source"];
/// Folders within folders; distributions have 10.
const DEEPEST: usize = 40;

/// Why a folder is no kernel, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is no kernel.
    #[error(
        "there is no kernel in {folder}: no vmlinux, vmlinuz, bzImage, vmlinuz-VERSION or boot/vmlinuz-VERSION"
    )]
    NoKernel {
        /// The folder.
        folder: PathBuf,
    },
    /// There is more than one of something.
    #[error("there are several {what} in {folder}: {names}", names = .names.join(", "))]
    Several {
        /// The folder.
        folder: PathBuf,
        /// Of what.
        what: &'static str,
        /// Their paths.
        names: Vec<String>,
    },
    /// A link leads out of the folder.
    #[error("{path} is a link that leads out of the folder")]
    LeadsOut {
        /// The link.
        path: PathBuf,
    },
    /// Something is of the wrong kind.
    #[error("{path} is not a {expected}")]
    Kind {
        /// The path.
        path: PathBuf,
        /// `file` or `folder`.
        expected: &'static str,
    },
    /// A file is larger than any such file.
    #[error("{path} has {bytes} bytes; {limit} is the most")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// Something cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is read cannot be sent on.
    #[error("cannot send the kernel")]
    Send(#[source] io::Error),
}

/// A folder that holds a kernel.
#[derive(Debug)]
pub struct KernelFolder {
    path: PathBuf,
    root: OwnedFd,
    image: PathBuf,
    initrd: Option<PathBuf>,
    modules: Option<PathBuf>,
}

impl KernelFolder {
    /// Looks for the parts of a kernel.
    ///
    /// # Errors
    /// [`FolderError`] where there is none, or more than one.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let root = open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| FolderError::Read {
            path: path.to_owned(),
            source: error.into(),
        })?;
        let mut folder = Self {
            path: path.to_owned(),
            root,
            image: PathBuf::new(),
            initrd: None,
            modules: None,
        };
        folder.image = folder.find_image()?;
        folder.require_file(&folder.image)?;
        folder.initrd = Some(PathBuf::from(INITRD)).filter(|path| folder.has(path));
        if let Some(initrd) = &folder.initrd {
            folder.require_file(initrd)?;
        }
        folder.modules = folder.find_modules()?;
        Ok(folder)
    }

    /// Writes it as a tar in the plain form.
    ///
    /// # Errors
    /// [`FolderError`]; [`FolderError::Send`] is of `out`'s making.
    pub fn pack(&self, out: impl Write) -> Result<(), FolderError> {
        let mut tar = tar::Builder::new(out);
        self.pack_into(&mut tar)?;
        tar.into_inner()
            .and_then(|mut out| out.flush())
            .map_err(FolderError::Send)
    }

    /// The same behind what an archive holds already.
    ///
    /// # Errors
    /// As [`Self::pack`].
    pub fn pack_into(&self, tar: &mut tar::Builder<impl Write>) -> Result<(), FolderError> {
        self.append(tar, &self.image, VMLINUX, LARGEST_IMAGE)?;
        if let Some(initrd) = &self.initrd {
            self.append(tar, initrd, INITRD, LARGEST_INITRD)?;
        }
        match &self.modules {
            Some(modules) => self.append_modules(tar, modules, Path::new(MODULES), 0),
            None => Ok(()),
        }
    }

    fn find_image(&self) -> Result<PathBuf, FolderError> {
        if let Some(name) = IMAGES.into_iter().find(|name| self.has(Path::new(name))) {
            return Ok(name.into());
        }
        let mut found = Vec::new();
        for folder in ["", "boot"] {
            let folder = Path::new(folder);
            if !folder.as_os_str().is_empty() && !self.has(folder) {
                continue;
            }
            for name in self.names(folder)? {
                if name.as_os_str().as_bytes().starts_with(b"vmlinuz-") {
                    found.push(folder.join(name));
                }
            }
        }
        self.only(found, "kernels")?.ok_or_else(|| FolderError::NoKernel {
            folder: self.path.clone(),
        })
    }

    fn find_modules(&self) -> Result<Option<PathBuf>, FolderError> {
        let mut found = Vec::new();
        for parent in [MODULES, "lib/modules", "usr/lib/modules"].map(Path::new) {
            if !self.has(parent) {
                continue;
            }
            let names = self.names(parent)?;
            let is_modules = |name: &PathBuf| {
                let name = name.as_os_str().as_bytes();
                name == b"kernel"
                    || LISTS.iter().any(|list| list.as_bytes() == name)
                    || name_of(name).is_some()
            };
            if names.iter().any(is_modules) {
                found.push(parent.to_owned());
            } else {
                found.extend(names.into_iter().map(|version| parent.join(version)));
            }
        }
        // Where /lib is a link to /usr/lib, both lead to the same.
        found.dedup_by_key(|path| {
            path.strip_prefix("usr")
                .map_or_else(|_| path.clone(), Path::to_owned)
        });
        self.only(found, "folders of modules")
    }

    fn only(&self, found: Vec<PathBuf>, what: &'static str) -> Result<Option<PathBuf>, FolderError> {
        if found.len() > 1 {
            return Err(FolderError::Several {
                folder: self.path.clone(),
                what,
                names: found.iter().map(|path| path.display().to_string()).collect(),
            });
        }
        Ok(found.into_iter().next())
    }

    fn append_modules(
        &self,
        tar: &mut tar::Builder<impl Write>,
        from: &Path,
        to: &Path,
        depth: usize,
    ) -> Result<(), FolderError> {
        if depth > DEEPEST {
            return Err(self.read_error(from, Errno::LOOP));
        }
        for name in self.names(from)? {
            let (from, to) = (from.join(&name), to.join(&name));
            let bytes = name.as_os_str().as_bytes();
            let is_list = depth == 0 && LISTS.iter().any(|list| list.as_bytes() == bytes);
            if depth == 0 && TO_SOURCES.contains(&bytes) {
                continue;
            }
            match self.kind(&from)? {
                FileType::Directory => self.append_modules(tar, &from, &to, depth + 1)?,
                FileType::RegularFile if is_list || name_of(bytes).is_some() => {
                    self.append(tar, &from, &to, u64::MAX)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn append(
        &self,
        tar: &mut tar::Builder<impl Write>,
        from: &Path,
        to: impl AsRef<Path>,
        limit: u64,
    ) -> Result<(), FolderError> {
        self.require_file(from)?;
        let file = File::from(self.open_at(from, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let read_error = |source| FolderError::Read {
            path: self.path.join(from),
            source,
        };
        let bytes = file.metadata().map_err(read_error)?.len();
        if bytes > limit {
            return Err(FolderError::TooLarge {
                path: self.path.join(from),
                bytes,
                limit,
            });
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o644);
        let mut source = Source {
            file: file.take(bytes),
            left: bytes,
            failed: None,
        };
        let sent = tar.append_data(&mut header, to, &mut source);
        match (source.failed, sent) {
            (Some(error), _) => Err(read_error(error)),
            (None, sent) => sent.map_err(FolderError::Send),
        }
    }

    fn require_file(&self, path: &Path) -> Result<(), FolderError> {
        match self.kind(path)? {
            FileType::RegularFile => Ok(()),
            _ => Err(FolderError::Kind {
                path: self.path.join(path),
                expected: "file",
            }),
        }
    }

    fn has(&self, path: &Path) -> bool {
        self.open_at(path, OFlags::PATH)
            .map_or_else(|error| !is_missing(&error), |_| true)
    }

    fn kind(&self, path: &Path) -> Result<FileType, FolderError> {
        let found = self.open_at(path, OFlags::PATH)?;
        let stat = fstat(found).map_err(|error| self.read_error(path, error))?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    /// Names in a folder, sorted: equal folders give equal archives.
    fn names(&self, folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
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
                names.push(PathBuf::from(std::ffi::OsStr::from_bytes(name)));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, FolderError> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), beneath);
        opened.map_err(|error| match error {
            Errno::XDEV => FolderError::LeadsOut {
                path: self.path.join(path),
            },
            error => self.read_error(path, error),
        })
    }

    fn read_error(&self, path: &Path, error: Errno) -> FolderError {
        FolderError::Read {
            path: self.path.join(path),
            source: error.into(),
        }
    }
}

fn is_missing(error: &FolderError) -> bool {
    matches!(error, FolderError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// A file that knows whether it was what failed, and that has the length it was announced with.
struct Source {
    file: io::Take<File>,
    left: u64,
    failed: Option<io::Error>,
}

impl Read for &mut Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.file.read(buffer) {
            Ok(0) if self.left > 0 && !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        match read {
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) => {
                self.failed = Some(io::Error::from(error.kind()));
                Err(error)
            }
        }
    }
}
