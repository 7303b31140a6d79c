//! Where kernels and images come from.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use catalog::Recipe;
use rootfs::erofs::Compression;
use rootfs::probe::FileSystem;
use tokio_util::sync::CancellationToken;

/// What a maker says while it works.
#[derive(Clone, Copy, Debug)]
pub enum Report<'a> {
    /// How far it is: what it does, how much of how much.
    Progress(&'a str, Option<u64>, Option<u64>),
    /// A line that the user should read.
    Warning(&'a str),
}

/// Hears what a maker says.
pub type Progress<'a> = dyn Fn(Report<'_>) + Send + Sync + 'a;

/// Something a source can make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// For an image, the kernel that it boots with.
    pub kernel: Option<String>,
}

/// A kernel that a source can fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownKernel {
    /// Its name.
    pub name: String,
    /// The distribution that it is from.
    pub distro: String,
    /// What it runs on, by Debian's name.
    pub arch: String,
    /// One line.
    pub description: String,
}

/// What a source has made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// A kernel's release; empty for an image.
    pub version: String,
    /// sha256 of an image's root file system in hex; empty for a kernel.
    pub digest: String,
    /// What an image's root file system is.
    pub file_system: FileSystem,
    /// Size on disk in bytes.
    pub bytes: u64,
    /// How many entries an image has.
    pub entries: u64,
    /// What an image says about running it, as JSON, if it says anything.
    pub config: Option<String>,
    /// How it was made, as JSON, to be kept with it.
    pub source: String,
    /// The same for a person, a few words: `fetched, 26 MB`.
    pub note: String,
}

/// What the engine asks for kernels and images. Calls block, look at `cancel`, and clean up after themselves.
pub trait Sources: fmt::Debug + Send + Sync {
    /// Learns what is published now, where it can change.
    ///
    /// # Errors
    /// It cannot be learnt; what was known before still is.
    fn refresh(&self, _cancel: &CancellationToken) -> Result<(), SourceError> {
        Ok(())
    }

    /// The images that can be made.
    fn images(&self) -> Vec<Known>;

    /// How the files of an image that is made here are stored.
    fn compression(&self) -> Compression {
        Compression::None
    }

    /// The kernels that can be fetched.
    fn kernels(&self) -> Vec<KnownKernel>;

    /// Fetches a kernel into `folder`: `vmlinux`, `modules.erofs`, `boot-modules/`.
    ///
    /// # Errors
    /// [`SourceError`].
    fn make_kernel(
        &self,
        name: &str,
        folder: &Path,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError>;

    /// Writes an image's root file system into `file`.
    ///
    /// # Errors
    /// [`SourceError`].
    fn make_image(
        &self,
        name: &str,
        file: &File,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError>;

    /// Writes the root file system that a recipe of the user's describes into `file`.
    ///
    /// # Errors
    /// [`SourceError`].
    fn build_image(
        &self,
        recipe: &Recipe,
        file: &File,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError>;
}

/// Why a source could not make something.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It does not know the name.
    #[error("no source has `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// Fetching or building failed.
    #[error("{source}")]
    Failed {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A file could not be used.
    #[error("cannot {action} {path}")]
    File {
        /// A verb: read, write, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl SourceError {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}
