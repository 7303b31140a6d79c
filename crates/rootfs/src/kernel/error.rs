//! What can go wrong with a kernel package.

use std::io;
use std::path::PathBuf;

use super::decompress::DecompressError;
use crate::erofs::ErofsError;

/// Why a kernel could not be imported. Names from the package are escaped and may be shown as they are.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The package's archive is broken, or its modules cannot be written.
    #[error("cannot read the kernel package: {0}")]
    Archive(#[source] ErofsError),
    /// More members than any kernel package has.
    #[error("the kernel package has more than {limit} files")]
    TooManyFiles {
        /// The bound.
        limit: usize,
    },
    /// A file that is larger than any such file.
    #[error("`{path}` of the kernel package has {bytes} bytes; {limit} is the most")]
    FileTooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// Something that a kernel package must hold.
    #[error("the kernel package holds no {what}")]
    Missing {
        /// Its name.
        what: &'static str,
    },
    /// Something that is no part of a kernel.
    #[error("`{path}` does not belong to a kernel: only vmlinux, initrd.img and modules/ do")]
    Unexpected {
        /// The member.
        path: String,
    },
    /// A file that comes twice.
    #[error("`{path}` comes twice in the kernel package")]
    Twice {
        /// The file.
        path: String,
    },
    /// Kernels of several versions, or one version's kernel with another's modules.
    #[error("the kernel package holds the versions `{one}` and `{other}`; one is expected")]
    Versions {
        /// The first one.
        one: String,
        /// The next one.
        other: String,
    },
    /// A version or module name with characters that none has.
    #[error("`{path}` of the kernel package has an impossible name")]
    BadName {
        /// The file.
        path: String,
    },
    /// The kernel image cannot be understood.
    #[error("the kernel image is unusable: {fault}")]
    BadImage {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The kernel image or a module cannot be decompressed.
    #[error("cannot decompress `{path}` of the kernel package")]
    Decompress {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: DecompressError,
    },
    /// A module that is none.
    #[error("the module `{path}` is broken: {fault}")]
    BadModule {
        /// The file.
        path: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Two modules of one name.
    #[error("the kernel package holds the module `{name}` twice")]
    DuplicateModule {
        /// The module.
        name: String,
    },
    /// More aliases, symbols or dependencies than the indices may hold.
    #[error("the modules of the kernel package have more than {limit} bytes of {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The kernel can do without no module, and this one is neither there nor built in.
    #[error("the kernel has no `{name}`, neither as a module nor built in: it cannot boot here")]
    Lacks {
        /// The module.
        name: String,
    },
    /// A file could not be written or read back.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl KernelError {
    /// A failure to write, ready for `map_err`.
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }
}
