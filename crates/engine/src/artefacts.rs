//! Kernels and images: found in the store, or made on first use, once however many ask at once.

mod built;
mod bundles;
mod catalog_sources;
pub(crate) mod container;
pub(crate) mod import;
mod initramfs;
pub(crate) mod kernels;
mod left_work;
mod locks;
mod often;
mod published;
pub(crate) mod registered;
pub(crate) mod seeds;
mod sources;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Paths;
use jiff::Timestamp;
use model::BootWay;
use rootfs::probe::FileSystem;
use store::Store;
use tokio_util::sync::CancellationToken;

pub use catalog_sources::CatalogSources;
pub use sources::{Known, KnownKernel, Made, Progress, Report, SourceError, Sources};

use crate::EngineError;
use crate::operations::{OperationHandle, Stage};
use container::Registries;
use initramfs::Initramfs;
pub(crate) use kernels::Kernel;
use locks::NameLocks;

/// An image on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// sha256 of the root file system, hex.
    pub(crate) digest: String,
    /// The root file system.
    pub(crate) rootfs: PathBuf,
    /// What it says about running it, as JSON, if it says anything.
    pub(crate) config: Option<String>,
    /// How a VM boots it.
    pub(crate) boot: BootWay,
    /// Digest of the archive that a VM's `/root` gets at its first start.
    pub(crate) work_seed: Option<String>,
}

/// The service.
#[derive(Debug)]
pub(crate) struct Artefacts {
    store: Store,
    paths: Paths,
    sources: Arc<dyn Sources>,
    locks: NameLocks,
    initramfs: Initramfs,
    registries: Registries,
    /// Held while a root file system gets or loses its name and row.
    gate: tokio::sync::Mutex<()>,
}

impl Artefacts {
    pub(crate) fn new(
        store: Store,
        paths: Paths,
        agent: PathBuf,
        sources: Arc<dyn Sources>,
        registries: Registries,
    ) -> Self {
        let initramfs = Initramfs::new(agent, paths.initramfs());
        Self {
            store,
            paths,
            sources,
            locks: NameLocks::default(),
            initramfs,
            registries,
            gate: tokio::sync::Mutex::default(),
        }
    }

    /// Removes what a maker that was killed left half made.
    pub(crate) fn sweep(&self) -> Result<(), EngineError> {
        let paths = &self.paths;
        for folder in [paths.images(), paths.kernels(), paths.layers(), paths.initramfs()] {
            let failed = |path: &Path, error| {
                tracing::warn!(path = %path.display(), %error, "cannot remove what an earlier daemon left");
            };
            durable::sweep(&folder, failed).map_err(EngineError::file("read", &folder))?;
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
        // Somebody has it, or there is nothing to make.
        self.kernel_of(name).await?;
        let images = self.paths.images();
        let wanted = name.to_owned();
        let (stage, guard, (staging, made)) = self
            .make(
                "get",
                "image",
                name,
                stage,
                operation.cancellation(),
                guard,
                move |sources, progress, cancel| {
                    let staging =
                        durable::staging(&images).map_err(SourceError::file("create a file in", &images))?;
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
            // As published by now, which may be another than what this version carries.
            kernel: self.kernel_of(name).await?,
            bytes: made.bytes,
            entries: made.entries,
            source: made.source.clone(),
            created_at: Timestamp::now(),
            kind: model::ImageKind::Catalog,
            reference: None,
            config: made.config.clone(),
            path: None,
            boot: BootWay::Overlay,
            work_seed: None,
        };
        let image = self.publish(staging, made.file_system, row).await?;
        drop(guard);
        stage.done(&format!("{name}  {}", made.note));
        Ok(image)
    }

    /// What a kernel is started with, made if it is not here.
    pub(crate) async fn ensure_initramfs(
        &self,
        kernel: &Kernel,
        boot: BootWay,
    ) -> Result<PathBuf, EngineError> {
        self.initramfs.ensure(kernel, boot).await
    }

    /// The image of that digest, if a file of ours has it.
    pub(crate) fn image_digest(&self, digest: &str) -> Option<Image> {
        let rootfs = FILE_SYSTEMS
            .iter()
            .map(|file_system| image_path(&self.paths.images(), digest, *file_system))
            .find(|path| path.is_file())?;
        Some(Image {
            digest: digest.to_owned(),
            rootfs,
            config: None,
            boot: BootWay::Overlay,
            work_seed: None,
        })
    }

    /// The image of that digest, if a file of ours has it or one of the user's that is as it was.
    ///
    /// # Errors
    /// [`EngineError::RegisteredFile`] where the user's file is gone or has changed.
    pub(crate) async fn find_digest(&self, digest: &str) -> Result<Option<Image>, EngineError> {
        if let Some(image) = self.image_digest(digest) {
            return Ok(Some(image));
        }
        match self.store.images().registered(digest).await? {
            Some(row) => registered::open(&row).map(|(image, _)| Some(image)),
            None => Ok(None),
        }
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, EngineError> {
        let Some(row) = self.store.images().get(name).await? else {
            return Ok(None);
        };
        if let Some(found) = self.find_digest(&row.digest).await? {
            return Ok(Some(Image {
                config: row.config,
                boot: row.boot,
                work_seed: row.work_seed,
                ..found
            }));
        }
        if row.kind != model::ImageKind::Catalog {
            return Err(EngineError::ImageFileGone {
                name: row.name,
                reference: row.reference,
            });
        }
        tracing::warn!(image = name, "its file is gone; it must be made again");
        self.store.images().delete(name).await?;
        Ok(None)
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
            let report = |report: Report<'_>| match report {
                Report::Progress(what, done, total) => {
                    stage.progress(&format!("{label}  {what}"), done, total);
                }
                Report::Warning(line) => stage.warn(line),
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

/// What root file systems of ours are; each has an ending of its own.
pub(crate) const FILE_SYSTEMS: [FileSystem; 2] = [FileSystem::Erofs, FileSystem::Ext4];

fn image_path(images: &Path, digest: &str, file_system: FileSystem) -> PathBuf {
    images.join(format!("{digest}.{}", file_system.name()))
}

/// The digest in the name of a root file system or a work seed of ours.
pub(crate) fn digest_of(file: &str) -> Option<&str> {
    let (digest, ending) = file.rsplit_once('.')?;
    // What is being made starts with a dot, and is its maker's.
    let ours = FILE_SYSTEMS
        .iter()
        .map(|file_system| file_system.name())
        .chain([seeds::ENDING])
        .any(|ours| ours == ending);
    (ours && !digest.starts_with('.')).then_some(digest)
}

fn sync_folder(folder: &Path) -> Result<(), SourceError> {
    durable::sync_folder(folder).map_err(SourceError::file("sync", folder))
}
