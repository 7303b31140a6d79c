//! A kernel in a folder of the user's, sent in the plain form.
//!
//! ```text
//!   DIR/vmlinux | vmlinuz | bzImage | [boot/]vmlinuz-*      ─► vmlinux
//!   DIR/initrd.img                                          ─► initrd.img
//!   DIR/modules | modules/VERSION | [usr/]lib/modules/VERSION ─► modules/…
//! ```
//!
//! Or parts that were named one by one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::beneath::Root;
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

/// A kernel's parts, in a folder or each where it lies.
#[derive(Debug)]
pub struct KernelFolder {
    image: Part,
    initrd: Option<Part>,
    modules: Option<Part>,
}

/// A file or folder below a root.
#[derive(Clone, Debug)]
struct Part {
    root: Arc<Root>,
    path: PathBuf,
}

impl Part {
    /// A file that the user has named, wherever a link leads to.
    fn file(path: &Path) -> Result<Self, FolderError> {
        let found = path.canonicalize().map_err(|source| FolderError::Read {
            path: path.to_owned(),
            source,
        })?;
        let (Some(folder), Some(name)) = (found.parent(), found.file_name()) else {
            return Err(FolderError::Kind {
                path: path.to_owned(),
                expected: "file",
            });
        };
        let root = Arc::new(Root::open(folder)?);
        let path = PathBuf::from(name);
        root.require_file(&path)?;
        Ok(Self { root, path })
    }
}

impl KernelFolder {
    /// Looks for the parts of a kernel.
    ///
    /// # Errors
    /// [`FolderError`] where there is none, or more than one.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let root = Arc::new(Root::open(path)?);
        let part = |path: PathBuf| Part {
            root: Arc::clone(&root),
            path,
        };
        let image = find_image(&root)?;
        root.require_file(&image)?;
        let initrd = Some(PathBuf::from(INITRD)).filter(|path| root.has(path));
        if let Some(initrd) = &initrd {
            root.require_file(initrd)?;
        }
        Ok(Self {
            image: part(image),
            initrd: initrd.map(part),
            modules: find_modules(&root)?.map(part),
        })
    }

    /// A kernel whose parts were named one by one; `modules` is the folder of one version.
    ///
    /// # Errors
    /// [`FolderError`] where one of them is not what it has to be.
    pub fn of_parts(
        image: &Path,
        initrd: Option<&Path>,
        modules: Option<&Path>,
    ) -> Result<Self, FolderError> {
        let folder = |path: &Path| {
            Ok(Part {
                root: Arc::new(Root::open(path)?),
                path: PathBuf::from("."),
            })
        };
        Ok(Self {
            image: Part::file(image)?,
            initrd: initrd.map(Part::file).transpose()?,
            modules: modules.map(folder).transpose()?,
        })
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
        append(tar, &self.image.root, &self.image.path, VMLINUX, LARGEST_IMAGE)?;
        if let Some(initrd) = &self.initrd {
            append(tar, &initrd.root, &initrd.path, INITRD, LARGEST_INITRD)?;
        }
        match &self.modules {
            Some(modules) => append_modules(tar, &modules.root, &modules.path, Path::new(MODULES), 0),
            None => Ok(()),
        }
    }
}

fn find_image(root: &Root) -> Result<PathBuf, FolderError> {
    if let Some(name) = IMAGES.into_iter().find(|name| root.has(Path::new(name))) {
        return Ok(name.into());
    }
    let mut found = Vec::new();
    for folder in ["", "boot"] {
        let folder = Path::new(folder);
        if !folder.as_os_str().is_empty() && !root.has(folder) {
            continue;
        }
        for name in root.names(folder)? {
            if name.as_os_str().as_bytes().starts_with(b"vmlinuz-") {
                found.push(folder.join(name));
            }
        }
    }
    only(root, found, "kernels")?.ok_or_else(|| FolderError::NoKernel {
        folder: root.path.clone(),
    })
}

fn find_modules(root: &Root) -> Result<Option<PathBuf>, FolderError> {
    let mut found = Vec::new();
    for parent in [MODULES, "lib/modules", "usr/lib/modules"].map(Path::new) {
        if !root.has(parent) {
            continue;
        }
        let names = root.names(parent)?;
        let is_modules = |name: &PathBuf| {
            let name = name.as_os_str().as_bytes();
            name == b"kernel" || LISTS.iter().any(|list| list.as_bytes() == name) || name_of(name).is_some()
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
    only(root, found, "folders of modules")
}

fn only(root: &Root, found: Vec<PathBuf>, what: &'static str) -> Result<Option<PathBuf>, FolderError> {
    if found.len() > 1 {
        return Err(FolderError::Several {
            folder: root.path.clone(),
            what,
            names: found.iter().map(|path| path.display().to_string()).collect(),
        });
    }
    Ok(found.into_iter().next())
}

fn append_modules(
    tar: &mut tar::Builder<impl Write>,
    root: &Root,
    from: &Path,
    to: &Path,
    depth: usize,
) -> Result<(), FolderError> {
    if depth > DEEPEST {
        return Err(root.read_error(from, Errno::LOOP));
    }
    for name in root.names(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        let bytes = name.as_os_str().as_bytes();
        let is_list = depth == 0 && LISTS.iter().any(|list| list.as_bytes() == bytes);
        if depth == 0 && TO_SOURCES.contains(&bytes) {
            continue;
        }
        match root.kind(&from)? {
            FileType::Directory => append_modules(tar, root, &from, &to, depth + 1)?,
            FileType::RegularFile if is_list || name_of(bytes).is_some() => {
                append(tar, root, &from, &to, u64::MAX)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    root: &Root,
    from: &Path,
    to: impl AsRef<Path>,
    limit: u64,
) -> Result<(), FolderError> {
    root.require_file(from)?;
    let file = File::from(root.open_at(from, OFlags::RDONLY | OFlags::NONBLOCK)?);
    let read_error = |source| FolderError::Read {
        path: root.path.join(from),
        source,
    };
    let bytes = file.metadata().map_err(read_error)?.len();
    if bytes > limit {
        return Err(FolderError::TooLarge {
            path: root.path.join(from),
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
