//! Kernels and images: found in the store, or made on first use, once however many ask at once.

mod catalog_sources;
pub(crate) mod container;
pub(crate) mod import;
mod initramfs;
mod locks;
mod sources;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Paths;
use jiff::Timestamp;
use store::Store;
use tokio_util::sync::CancellationToken;

pub use catalog_sources::CatalogSources;
pub use sources::{Known, Made, Progress, SourceError, Sources};

use crate::EngineError;
use crate::operations::{OperationHandle, Stage};
use initramfs::Initramfs;
use locks::NameLocks;

/// Prefix of what is being made.
pub(crate) const STAGING: &str = ".new-";

/// A kernel on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// Name in the catalog.
    pub(crate) name: String,
    /// The kernel's release, as `uname -r` says it.
    pub(crate) version: String,
    folder: PathBuf,
}

impl Kernel {
    /// The uncompressed kernel.
    pub(crate) fn vmlinux(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// All its modules as a read-only file system.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("modules.erofs")
    }

    /// The modules that the initramfs loads, in load order.
    pub(crate) fn boot_modules(&self) -> PathBuf {
        self.folder.join("boot-modules")
    }
}

/// An image on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// sha256 of the root file system, hex.
    pub(crate) digest: String,
    /// The root file system.
    pub(crate) rootfs: PathBuf,
    /// What it says about running it, as JSON, if it says anything.
    pub(crate) config: Option<String>,
}

/// The service.
#[derive(Debug)]
pub(crate) struct Artefacts {
    store: Store,
    paths: Paths,
    sources: Arc<dyn Sources>,
    locks: NameLocks,
    initramfs: Initramfs,
    /// Certificate authorities that registries may be known by, PEM.
    certificates: Option<String>,
    /// Held while a root file system gets or loses its name and row.
    gate: tokio::sync::Mutex<()>,
}

impl Artefacts {
    pub(crate) fn new(
        store: Store,
        paths: Paths,
        agent: PathBuf,
        sources: Arc<dyn Sources>,
        certificates: Option<String>,
    ) -> Self {
        let initramfs = Initramfs::new(agent, paths.initramfs());
        Self {
            store,
            paths,
            sources,
            locks: NameLocks::default(),
            initramfs,
            certificates,
            gate: tokio::sync::Mutex::default(),
        }
    }

    /// Removes what a maker that was killed left half made.
    pub(crate) fn sweep(&self) -> Result<(), EngineError> {
        for folder in [self.paths.images(), self.paths.kernels()] {
            let entries = std::fs::read_dir(&folder).map_err(EngineError::file("read", &folder))?;
            for entry in entries.flatten() {
                let path = entry.path();
                if !entry.file_name().to_string_lossy().starts_with(STAGING) {
                    continue;
                }
                let removed = if path.is_dir() {
                    std::fs::remove_dir_all(&path)
                } else {
                    std::fs::remove_file(&path)
                };
                if let Err(error) = removed {
                    tracing::warn!(path = %path.display(), %error, "cannot remove what an earlier daemon left");
                }
            }
        }
        Ok(())
    }

    /// The name of the kernel that an image boots with.
    ///
    /// # Errors
    /// [`EngineError::ImageNotFound`] where neither the store nor a source has the image.
    pub(crate) async fn kernel_of(&self, image: &str) -> Result<String, EngineError> {
        if let Some(row) = self.store.images().get(image).await? {
            return Ok(row.kernel);
        }
        let known = self.sources.images();
        match known.iter().find(|known| known.name == image) {
            Some(Known {
                kernel: Some(kernel), ..
            }) => Ok(kernel.clone()),
            _ => Err(EngineError::ImageNotFound {
                name: image.to_owned(),
                known: self.names_of_images(known).await?,
            }),
        }
    }

    async fn names_of_images(&self, known: Vec<Known>) -> Result<Vec<String>, EngineError> {
        let rows = self.store.images().list().await?;
        let mut names: Vec<_> = rows.into_iter().map(|row| row.name).collect();
        names.extend(known.into_iter().map(|known| known.name));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The kernel, fetched if it is not here.
    pub(crate) async fn ensure_kernel(
        &self,
        name: &str,
        operation: &OperationHandle,
    ) -> Result<Kernel, EngineError> {
        if let Some(kernel) = self.kernel(name).await? {
            return Ok(kernel);
        }
        let stage = operation.stage("kernel", name);
        let guard = self
            .locks
            .hold("kernel", name, &stage, operation.cancellation())
            .await?;
        if let Some(kernel) = self.kernel(name).await? {
            stage.done(&format!("{name} {}", kernel.version));
            return Ok(kernel);
        }
        let kernels = self.paths.kernels();
        let wanted = name.to_owned();
        let (stage, _guard, made) = self
            .make(
                "fetch",
                "kernel",
                name,
                stage,
                operation.cancellation(),
                guard,
                move |sources, progress, cancel| {
                    let staging = staging_folder(&kernels, &wanted)?;
                    let made = sources.make_kernel(&wanted, staging.path(), progress, cancel)?;
                    let target = kernels.join(format!("{wanted}-{}", made.version));
                    publish_folder(staging, &target)?;
                    Ok(made)
                },
            )
            .await?;
        let row = store::KernelRow {
            name: name.to_owned(),
            version: made.version.clone(),
            bytes: made.bytes,
            source: made.source.clone(),
            created_at: Timestamp::now(),
        };
        self.store.kernels().insert(row).await?;
        stage.done(&format!("{name} {}  {}", made.version, made.note));
        self.kernel(name)
            .await?
            .ok_or_else(|| EngineError::Internal(format!("kernel `{name}` vanished after it was made")))
    }

    /// The image, built or fetched if it is not here.
    pub(crate) async fn ensure_image(
        &self,
        name: &str,
        operation: &OperationHandle,
    ) -> Result<Image, EngineError> {
        if let Some(image) = self.image(name).await? {
            return Ok(image);
        }
        let stage = operation.stage("image", name);
        let guard = self
            .locks
            .hold("image", name, &stage, operation.cancellation())
            .await?;
        if let Some(image) = self.image(name).await? {
            stage.done(name);
            return Ok(image);
        }
        let kernel = self.kernel_of(name).await?;
        let images = self.paths.images();
        let wanted = name.to_owned();
        let (stage, guard, (staging, made)) = self
            .make(
                "build",
                "image",
                name,
                stage,
                operation.cancellation(),
                guard,
                move |sources, progress, cancel| {
                    let staging = tempfile::Builder::new()
                        .prefix(STAGING)
                        .tempfile_in(&images)
                        .map_err(SourceError::file("create a file in", &images))?;
                    let made = sources.make_image(&wanted, staging.as_file(), progress, cancel)?;
                    staging
                        .as_file()
                        .sync_all()
                        .map_err(SourceError::file("sync", staging.path()))?;
                    Ok((staging, made))
                },
            )
            .await?;
        let row = store::ImageRow {
            name: name.to_owned(),
            digest: made.digest.clone(),
            kernel,
            bytes: made.bytes,
            entries: made.entries,
            source: made.source.clone(),
            created_at: Timestamp::now(),
            kind: store::ImageKind::Catalog,
            reference: None,
            config: None,
        };
        let image = self.publish(staging, row).await?;
        drop(guard);
        stage.done(&format!("{name}  {}", made.note));
        Ok(image)
    }

    /// The initramfs for a kernel, made if it is not here.
    pub(crate) async fn ensure_initramfs(&self, kernel: &Kernel) -> Result<PathBuf, EngineError> {
        self.initramfs.ensure(kernel).await
    }

    /// The kernel of that name and version, if its files are here.
    pub(crate) fn kernel_version(&self, name: &str, version: &str) -> Option<Kernel> {
        let kernel = Kernel {
            name: name.to_owned(),
            version: version.to_owned(),
            folder: self.paths.kernels().join(format!("{name}-{version}")),
        };
        kernel.vmlinux().is_file().then_some(kernel)
    }

    /// The image of that digest, if its file is here.
    pub(crate) fn image_digest(&self, digest: &str) -> Option<Image> {
        let rootfs = image_path(&self.paths.images(), digest);
        rootfs.is_file().then(|| Image {
            digest: digest.to_owned(),
            rootfs,
            config: None,
        })
    }

    async fn kernel(&self, name: &str) -> Result<Option<Kernel>, EngineError> {
        let Some(row) = self.store.kernels().get(name).await? else {
            return Ok(None);
        };
        let found = self.kernel_version(name, &row.version);
        if found.is_none() {
            tracing::warn!(kernel = name, "its files are gone; it will be fetched again");
            self.store.kernels().delete(name).await?;
        }
        Ok(found)
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, EngineError> {
        let Some(row) = self.store.images().get(name).await? else {
            return Ok(None);
        };
        let Some(found) = self.image_digest(&row.digest) else {
            tracing::warn!(image = name, "its file is gone; it must be made again");
            self.store.images().delete(name).await?;
            return Ok(None);
        };
        Ok(Some(Image {
            config: row.config,
            ..found
        }))
    }

    /// Runs a maker on a thread of its own. The lock goes with it: a cancelled caller leaves, and the next one
    /// waits until the maker has cleaned up after itself.
    #[expect(
        clippy::too_many_arguments,
        reason = "a private call with two callers beside it"
    )]
    async fn make<T, F>(
        &self,
        action: &'static str,
        kind: &'static str,
        name: &str,
        stage: Stage,
        cancel: &CancellationToken,
        guard: locks::NameGuard,
        maker: F,
    ) -> Result<(Stage, locks::NameGuard, T), EngineError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Sources, &Progress<'_>, &CancellationToken) -> Result<T, SourceError> + Send + 'static,
    {
        let sources = Arc::clone(&self.sources);
        let token = cancel.clone();
        let label = name.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let report = |what: &str, done: Option<u64>, total: Option<u64>| {
                stage.progress(&format!("{label}  {what}"), done, total);
            };
            let made = maker(&*sources, &report, &token);
            made.map(|made| (stage, guard, made))
        });
        match made.await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(_)) if cancel.is_cancelled() => Err(EngineError::Cancelled),
            Ok(Err(error)) => Err(EngineError::Artefact {
                action,
                kind,
                name: name.to_owned(),
                hint: error.hint(),
                source: Box::new(error),
            }),
            Err(panic) => Err(EngineError::Internal(format!("making {kind} `{name}`: {panic}"))),
        }
    }
}

fn image_path(images: &Path, digest: &str) -> PathBuf {
    images.join(format!("{digest}.erofs"))
}

fn staging_folder(parent: &Path, name: &str) -> Result<tempfile::TempDir, SourceError> {
    tempfile::Builder::new()
        .prefix(&format!("{STAGING}{name}-"))
        .tempdir_in(parent)
        .map_err(SourceError::file("create a folder in", parent))
}

/// Gives a finished folder its name: readers never see half of one.
fn publish_folder(staging: tempfile::TempDir, target: &Path) -> Result<(), SourceError> {
    sync_folder(staging.path())?;
    if target.exists() {
        // Same name and version: an earlier fetch that a crash kept out of the store. Its place is taken over.
        let aside = staging.path().with_extension("old");
        std::fs::rename(target, &aside).map_err(SourceError::file("replace", target))?;
        std::fs::rename(staging.path(), target).map_err(SourceError::file("write", target))?;
        std::fs::remove_dir_all(&aside).map_err(SourceError::file("remove", &aside))?;
    } else {
        std::fs::rename(staging.path(), target).map_err(SourceError::file("write", target))?;
    }
    // The folder lives on under its new name.
    let _ = staging.keep();
    match target.parent() {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), SourceError> {
    std::fs::File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(SourceError::file("sync", folder))
}
