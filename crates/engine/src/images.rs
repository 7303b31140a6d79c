//! The service for images: listing, pulling, taking in what a client sends, deleting, pruning.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::{ImageConfig, PullImage, RegisterImage, UploadFormat, UploadImage};
use model::BootWay;
use oci::{LayerCache, Protocol};
use store::{ImageRow, VmRow};
use tokio::io::AsyncRead;

use crate::EngineError;
use crate::artefacts::container::{Origin, config_of};
use crate::artefacts::digest_of;
use crate::artefacts::import::{Import, is_bare, name_of, parse};
use crate::body::Waiting;
use crate::kernels::Kernels;
use crate::operations::OperationHandle;
use crate::vms::Shared;

/// Prefix of what a client sends; swept by the next daemon, as everything half made.
const UPLOAD: &str = ".new-upload-";
/// Most bytes that a client may send for one image.
const LARGEST_UPLOAD: u64 = 128 << 30;
/// The service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Images {
    shared: Arc<Shared>,
}

/// An image that a client has sent, not yet taken in. Dropping it removes it.
#[derive(Debug)]
pub struct Upload(Import);

impl Images {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// All images that are here, by name.
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn list(&self) -> Result<Vec<api::Image>, EngineError> {
        let vms = self.shared.store.vms().list().await?;
        let rows = self.shared.store.images().list().await?;
        Ok(rows.into_iter().map(|row| view(row, &vms)).collect())
    }

    /// One image, by its name or its full name in a registry.
    ///
    /// # Errors
    /// [`EngineError::ImageNotFound`].
    pub async fn show(&self, reference: &str) -> Result<api::Image, EngineError> {
        let row = self.find(reference).await?;
        Ok(view(row, &self.shared.store.vms().list().await?))
    }

    pub(crate) fn artefacts(&self) -> &crate::artefacts::Artefacts {
        &self.shared.artefacts
    }

    pub(crate) async fn find(&self, text: &str) -> Result<ImageRow, EngineError> {
        let images = self.shared.store.images();
        if let Some(row) = images.get(text).await? {
            return Ok(row);
        }
        if let Ok(reference) = oci::RegistryReference::parse(text)
            && let Some(row) = images.by_reference(&reference.to_string()).await?
        {
            return Ok(row);
        }
        let rows = images.list().await?;
        Err(EngineError::ImageNotFound {
            name: text.to_owned(),
            known: rows.into_iter().map(|row| row.name).collect(),
        })
    }

    /// The part of [`Images::pull`] that may wait for the catalog's server. It changes nothing and may be dropped at any
    /// time; a pull soon after does not ask again.
    ///
    /// # Errors
    /// The catalog cannot be read: a registry is not asked in its place.
    pub async fn look_up(&self, reference: &str) -> Result<(), EngineError> {
        let artefacts = &self.shared.artefacts;
        if is_bare(reference) && !artefacts.is_in_catalog(reference) {
            artefacts.refresh("image", reference).await?;
        }
        Ok(())
    }

    /// Pulls an image from a registry, also if it is here already; one of the catalog's only if it is not.
    ///
    /// # Errors
    /// The reference, the name or the kernel cannot be.
    pub async fn pull(&self, request: PullImage) -> Result<OperationHandle, EngineError> {
        self.look_up(&request.reference).await?;
        let artefacts = &self.shared.artefacts;
        if artefacts.is_in_catalog(&request.reference) {
            return self.pull_from_catalog(request).await;
        }
        let reference = parse(&request.reference)?;
        let name = match request.name {
            Some(name) => self.free_name(&name)?,
            None => self.free_name(&name_of(&reference)?)?,
        };
        let default = &self.shared.defaults.image;
        let kernel = artefacts.kernel_for(request.kernel, default).await?;
        let access = request.registry;
        self.begin(Import {
            name,
            kernel,
            origin: Origin::Registry { reference, access },
            any_age: false,
        })
        .await
    }

    async fn pull_from_catalog(&self, request: PullImage) -> Result<OperationHandle, EngineError> {
        for (what, value) in [("name", request.name), ("kernel", request.kernel)] {
            if let Some(value) = value {
                return Err(EngineError::Invalid {
                    what,
                    value,
                    why: format!(
                        "`{}` is an image of the catalog, which has its own",
                        request.reference
                    ),
                });
            }
        }
        self.work("pull", move |shared, operation| async move {
            let ensured = shared.artefacts.ensure_image(&request.reference, &operation);
            ensured.await.map(|_| ())
        })
        .await
    }

    /// Makes an image of a file of the user's, which stays where it is.
    ///
    /// # Errors
    /// The name, the kernel or the path cannot be.
    pub async fn register(&self, name: &str, request: RegisterImage) -> Result<OperationHandle, EngineError> {
        let (name, kernel) = self.check_upload(name, request.kernel).await?;
        let boot = request.boot;
        if boot == BootWay::Direct {
            self.shared.artefacts.require_initrd(&kernel).await?;
        }
        let path = absolute("rootfs", &request.rootfs)?;
        let seed = request.work_seed.as_deref();
        let seed = seed.map(|seed| absolute("work seed", seed)).transpose()?;
        self.operate(move |shared, operation| async move {
            shared
                .artefacts
                .register(&name, path, kernel, boot, seed, &operation)
                .await
        })
        .await
    }

    /// Copies the file of a registered image to where images lie: it needs the user's no more.
    ///
    /// # Errors
    /// [`EngineError::ImageNotFound`], or it is not registered.
    pub async fn promote(&self, reference: &str) -> Result<OperationHandle, EngineError> {
        let name = self.find(reference).await?.name;
        self.operate(
            move |shared, operation| async move { shared.artefacts.promote(&name, &operation).await },
        )
        .await
    }

    /// Begins an operation that does `work`.
    pub(crate) async fn operate<W>(
        &self,
        work: impl FnOnce(Arc<Shared>, OperationHandle) -> W + Send + 'static,
    ) -> Result<OperationHandle, EngineError>
    where
        W: Future<Output = Result<(), EngineError>> + Send,
    {
        self.work("image", work).await
    }

    /// Begins an operation of that kind, which can be cancelled and gives up where the disk runs full.
    async fn work<W>(
        &self,
        kind: &'static str,
        work: impl FnOnce(Arc<Shared>, OperationHandle) -> W + Send + 'static,
    ) -> Result<OperationHandle, EngineError>
    where
        W: Future<Output = Result<(), EngineError>> + Send,
    {
        let shared = Arc::clone(&self.shared);
        let work = move |operation: OperationHandle| async move {
            let work = work(Arc::clone(&shared), operation.clone());
            shared
                .reserve
                .guard(&operation, cancellable(&operation, work))
                .await
        };
        self.shared.operations.run(kind, work).await
    }

    /// Receives an image that a client sends. Nothing is known of it until [`Images::import`].
    ///
    /// # Errors
    /// The name or the kernel cannot be, the client breaks off, or what it sends is no such archive.
    pub async fn receive(
        &self,
        name: &str,
        request: UploadImage,
        body: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<Upload, EngineError> {
        let checked = self.check_upload(name, request.kernel).await;
        let folder = self.shared.paths.images();
        let mut body = Waiting::new(body, self.shared.reserve.clone());
        let (format, tag, wanted) = (request.format, request.tag, checked.is_ok());
        let received = tokio::task::spawn_blocking(move || {
            let received = wanted.then(|| receive(&folder, format, tag, &mut body));
            if !matches!(received, Some(Ok(_))) {
                // A client that is still sending would not hear why it need not.
                let _ = io::copy(&mut body, &mut io::sink());
            }
            received
        });
        let received = received
            .await
            .map_err(|panic| EngineError::Internal(format!("receiving an image: {panic}")))?;
        let (name, kernel) = checked?;
        let origin = match received {
            Some(Ok(origin)) => origin,
            Some(Err(source)) => {
                return Err(EngineError::Upload {
                    kind: "image",
                    name,
                    source: Box::new(source),
                });
            }
            None => return Err(EngineError::Internal("an upload was not looked at".into())),
        };
        Ok(Upload(Import {
            name,
            kernel,
            origin,
            any_age: false,
        }))
    }

    async fn check_upload(
        &self,
        name: &str,
        kernel: Option<String>,
    ) -> Result<(String, String), EngineError> {
        let (name, kernel) = self.name_and_kernel(name, kernel).await?;
        match self.shared.store.images().get(&name).await? {
            Some(row) => Err(EngineError::ImageExists {
                name,
                from: row.reference,
            }),
            None => Ok((name, kernel)),
        }
    }

    /// A name that an image may get, though another may have it, and the kernel that boots it.
    pub(crate) async fn name_and_kernel(
        &self,
        name: &str,
        kernel: Option<String>,
    ) -> Result<(String, String), EngineError> {
        let name = self.free_name(name)?;
        let default = &self.shared.defaults.image;
        let kernel = self.shared.artefacts.kernel_for(kernel, default).await?;
        Ok((name, kernel))
    }

    /// Takes in what a client has sent.
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn import(&self, upload: Upload) -> Result<OperationHandle, EngineError> {
        self.begin(upload.0).await
    }

    async fn begin(&self, import: Import) -> Result<OperationHandle, EngineError> {
        self.work("pull", move |shared, operation| async move {
            shared.artefacts.import(import, &operation).await.map(|_| ())
        })
        .await
    }

    /// A name that an image may get: the catalog's are its own.
    fn free_name(&self, text: &str) -> Result<String, EngineError> {
        let invalid = |why: String| EngineError::Invalid {
            what: "name",
            value: text.chars().take(100).flat_map(char::escape_default).collect(),
            why,
        };
        let name = model::VmName::parse(text).map_err(|error| invalid(error.to_string()))?;
        if self.shared.artefacts.is_in_catalog(text) {
            return Err(invalid(
                "the catalog has an image of that name; give yours another".to_owned(),
            ));
        }
        Ok(name.to_string())
    }

    /// Deletes an image that no VM uses.
    ///
    /// # Errors
    /// [`EngineError::ImageNotFound`], [`EngineError::ImageInUse`], or its file cannot be removed.
    pub async fn delete(&self, reference: &str) -> Result<(), EngineError> {
        let row = self.find(reference).await?;
        let gate = self.shared.artefacts.gate().await;
        let users = users(&row, &self.shared.store.vms().list().await?);
        if !users.is_empty() {
            return Err(EngineError::ImageInUse {
                name: row.name,
                vms: users,
            });
        }
        // Row first: a file without a row is garbage that a prune finds, a row without its file is a lie.
        self.shared.store.images().delete(&row.name).await?;
        self.remove_unused(false).await?;
        drop(gate);
        Kernels::new(Arc::clone(&self.shared))
            .delete_of_image(&row.name)
            .await
    }

    /// Removes cached layers, and root file systems that no image and no VM uses; or only tells what it would.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub async fn prune(&self, dry_run: bool) -> Result<api::Pruned, EngineError> {
        let _gate = self.shared.artefacts.gate().await;
        let (file_systems, bytes) = self.remove_unused(dry_run).await?;
        let (kernels, kernel_bytes) = self.shared.artefacts.remove_unused_kernels(dry_run).await?;
        let blobs = self.shared.paths.blobs();
        let layers = tokio::task::spawn_blocking(move || LayerCache::open(&blobs)?.prune(|_| false, dry_run))
            .await
            .map_err(|panic| EngineError::Internal(format!("pruning: {panic}")))?
            .map_err(|error| EngineError::Internal(crate::error::one_line(&error)))?;
        Ok(api::Pruned {
            blobs: layers.len() as u64,
            file_systems,
            kernels,
            bytes: bytes + kernel_bytes + layers.iter().map(|layer| layer.bytes).sum::<u64>(),
        })
    }

    /// The caller holds the gate: no root file system gets its name meanwhile.
    async fn remove_unused(&self, dry_run: bool) -> Result<(u64, u64), EngineError> {
        let images = self.shared.store.images().list().await?;
        let vms = self.shared.store.vms().list().await?;
        let used: BTreeSet<String> = images
            .into_iter()
            .flat_map(|row| [Some(row.digest), row.work_seed])
            .chain(
                vms.into_iter()
                    .flat_map(|row| [Some(row.image_digest), row.work_seed]),
            )
            .flatten()
            .collect();
        let folder = self.shared.paths.images();
        let entries = fs::read_dir(&folder).map_err(EngineError::file("read", &folder))?;
        let (mut count, mut bytes) = (0, 0);
        for entry in entries.flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(digest_of);
            if digest.is_none_or(|digest| used.contains(digest)) {
                continue;
            }
            count += 1;
            bytes += crate::space::used(&entry.path());
            if !dry_run {
                fs::remove_file(entry.path()).map_err(EngineError::file("remove", entry.path()))?;
            }
        }
        Ok((count, bytes))
    }
}

/// A path on this host that does not depend on where the daemon was started.
fn absolute(what: &'static str, text: &str) -> Result<PathBuf, EngineError> {
    let path = PathBuf::from(text);
    if path.is_absolute() && !text.contains('\0') {
        return Ok(path);
    }
    Err(EngineError::Invalid {
        what,
        value: text.chars().take(300).flat_map(char::escape_default).collect(),
        why: "it is not an absolute path".to_owned(),
    })
}

/// Leaves `work` where it stands when the operation is cancelled; what blocks cleans up after itself.
pub(crate) async fn cancellable<T>(
    operation: &OperationHandle,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    tokio::select! {
        biased;
        () = operation.cancellation().cancelled() => Err(EngineError::Cancelled),
        outcome = work => outcome,
    }
}

fn receive(
    folder: &Path,
    format: UploadFormat,
    tag: Option<String>,
    body: &mut (impl io::Read + Send),
) -> Result<Origin, oci::OciError> {
    let mut made = tempfile::Builder::new();
    made.prefix(UPLOAD);
    let failed = |action| {
        move |source| oci::OciError::File {
            path: folder.to_owned(),
            action,
            source,
        }
    };
    match format {
        UploadFormat::DockerArchive => {
            let mut file = made.tempfile_in(folder).map_err(failed("create a file in"))?;
            let copied = io::copy(&mut io::Read::take(body, LARGEST_UPLOAD + 1), &mut file)
                .map_err(failed("receive an archive into"))?;
            if copied > LARGEST_UPLOAD {
                return Err(oci::OciError::TooLarge {
                    what: "the archive".to_owned(),
                    limit: LARGEST_UPLOAD,
                });
            }
            Ok(Origin::Archive { file, image: tag })
        }
        UploadFormat::OciLayout => {
            let layout = made.tempdir_in(folder).map_err(failed("create a folder in"))?;
            oci::unpack_layout(body, layout.path(), LARGEST_UPLOAD)?;
            Ok(Origin::Layout { folder: layout, tag })
        }
    }
}

fn users(row: &ImageRow, vms: &[VmRow]) -> Vec<String> {
    vms.iter()
        .filter(|vm| vm.image == row.name)
        .map(|vm| vm.name.clone())
        .collect()
}

fn view(row: ImageRow, vms: &[VmRow]) -> api::Image {
    api::Image {
        vms: users(&row, vms),
        config: config_of(row.config.as_deref()).map(config_view),
        kind: row.kind,
        boot: row.boot,
        work_seed: row.work_seed,
        id: row.digest,
        name: row.name,
        reference: row.reference,
        kernel: row.kernel,
        bytes: row.bytes,
        entries: row.entries,
        created_at: row.created_at,
        file: row.path,
    }
}

fn config_view(config: oci::ImageConfig) -> ImageConfig {
    let port = |port: oci::ExposedPort| {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        format!("{}/{protocol}", port.port)
    };
    // The last of several values is the one that counts.
    let mut seen = BTreeMap::new();
    for (name, value) in config.env {
        seen.insert(name, value);
    }
    ImageConfig {
        env: seen
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        user: config.user,
        working_dir: config.working_dir,
        exposed_ports: config.exposed_ports.into_iter().map(port).collect(),
    }
}
