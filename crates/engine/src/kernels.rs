//! The service for kernels: listing, fetching, taking in what a client sends, deleting.

use std::io;
use std::sync::Arc;

use api::{CatalogKernel, ImportKernel, KernelKind, PullKernel};
use model::VmName;
use rootfs::kernel::{KernelError, import_members};
use serde_json::{Value, json};
use store::{ImageRow, KernelRow, VmRow};
use tokio::io::AsyncRead;

use crate::EngineError;
use crate::artefacts::kernels::StagedKernel;
use crate::artefacts::{Made, SourceError};
use crate::body::Waiting;
use crate::images::cancellable;
use crate::operations::OperationHandle;
use crate::vms::Shared;

/// What all kernels are for: no other is taken.
const ARCHITECTURE: &str = "amd64";
/// How a kernel that was imported says so.
const IMPORTED: &str = "import";
/// How one says that it goes with the image of its name.
const OF_IMAGE: &str = "of_image";

/// The service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Kernels {
    shared: Arc<Shared>,
}

impl Kernels {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// All kernels that are here, by name.
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn list(&self) -> Result<Vec<api::Kernel>, EngineError> {
        let store = &self.shared.store;
        let (images, vms) = (store.images().list().await?, store.vms().list().await?);
        let rows = store.kernels().list().await?;
        Ok(rows
            .into_iter()
            .map(|row| self.view(row, &images, &vms))
            .collect())
    }

    /// The kernels that can be fetched, by name.
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn available(&self) -> Result<Vec<CatalogKernel>, EngineError> {
        let rows = self.shared.store.kernels().list().await?;
        self.shared.artefacts.refresh("published", "kernels").await?;
        let mut known = self.shared.artefacts.kernels_known();
        known.sort_by(|one, other| one.name.cmp(&other.name));
        let here = |name: &str| {
            let row = rows.iter().find(|row| row.name == name)?;
            Some(row.version.clone())
        };
        Ok(known
            .into_iter()
            .map(|known| CatalogKernel {
                id: known.name.clone(),
                here: here(&known.name),
                name: known.name,
                distro: known.distro,
                arch: known.arch,
                description: known.description,
            })
            .collect())
    }

    /// One kernel, by its name.
    ///
    /// # Errors
    /// [`EngineError::KernelNotFound`].
    pub async fn show(&self, name: &str) -> Result<api::Kernel, EngineError> {
        let row = self.find(name).await?;
        let store = &self.shared.store;
        Ok(self.view(row, &store.images().list().await?, &store.vms().list().await?))
    }

    async fn find(&self, name: &str) -> Result<KernelRow, EngineError> {
        let kernels = self.shared.store.kernels();
        if let Some(row) = kernels.get(name).await? {
            return Ok(row);
        }
        let rows = kernels.list().await?;
        Err(EngineError::KernelNotFound {
            name: shown(name),
            known: rows.into_iter().map(|row| row.name).collect(),
        })
    }

    /// The part of [`Kernels::pull`] that may wait for the catalog's server, as [`crate::Images::look_up`].
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn look_up(&self, name: &str) -> Result<(), EngineError> {
        let artefacts = &self.shared.artefacts;
        if !artefacts.kernels_known().iter().any(|known| known.name == name) {
            artefacts.refresh("kernel", &shown(name)).await?;
        }
        Ok(())
    }

    /// Fetches a kernel of the catalog, unless it is here and `force` is not asked for.
    ///
    /// # Errors
    /// [`EngineError::KernelNotFound`] where the catalog has no such kernel.
    pub async fn pull(&self, request: PullKernel) -> Result<OperationHandle, EngineError> {
        let PullKernel { name, force } = request;
        self.look_up(&name).await?;
        let known = self.shared.artefacts.kernels_known();
        if !known.iter().any(|known| known.name == name) {
            return Err(EngineError::KernelNotFound {
                name: shown(&name),
                known: known.into_iter().map(|known| known.name).collect(),
            });
        }
        let shared = Arc::clone(&self.shared);
        let work = move |operation: OperationHandle| async move {
            let fetch = async {
                if force {
                    shared.artefacts.refetch_kernel(&name, &operation).await
                } else {
                    shared.artefacts.ensure_kernel(&name, &operation).await
                }
            };
            let fetch = cancellable(&operation, fetch);
            shared.reserve.guard(&operation, fetch).await.map(|_| ())
        };
        self.shared.operations.run("pull", work).await
    }

    /// Takes in a kernel that a client sends: a tar of `vmlinux`, `initrd.img` and `modules/`.
    ///
    /// # Errors
    /// The name cannot be or is taken, the client breaks off, or what it sends is no kernel.
    pub async fn import(
        &self,
        name: &str,
        request: ImportKernel,
        body: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<api::Kernel, EngineError> {
        let checked = self.check(name, request).await;
        let mut body = Waiting::new(body, self.shared.reserve.clone());
        let kernels = self.shared.paths.kernels();
        let source = checked.as_ref().ok().cloned();
        let staging = name.to_owned();
        let taken = tokio::task::spawn_blocking(move || {
            let taken = source.map(|source| {
                StagedKernel::make(&kernels, &staging, |folder| {
                    let kernel = import_members(&mut body, folder)?;
                    Ok::<_, TakeError>(Made {
                        version: kernel.version,
                        bytes: kernel.bytes,
                        source,
                        ..Made::default()
                    })
                })
            });
            if !matches!(taken, Some(Ok(_))) {
                // A client that is still sending would not hear why it need not.
                let _ = io::copy(&mut body, &mut io::sink());
            }
            taken
        });
        let taken = taken
            .await
            .map_err(|panic| EngineError::Internal(format!("taking in a kernel: {panic}")))?;
        checked?;
        let staged = match taken {
            Some(Ok(staged)) => staged,
            Some(Err(source)) => {
                return Err(EngineError::Upload {
                    kind: "kernel",
                    name: name.to_owned(),
                    source: Box::new(source),
                });
            }
            None => return Err(EngineError::Internal("a kernel was not looked at".into())),
        };
        let _lock = self.shared.artefacts.hold_kernel(name).await;
        // Somebody else may have been faster.
        self.require_free(name).await?;
        self.shared.artefacts.publish_kernel(name, staged).await?;
        self.show(name).await
    }

    /// Checks what is known before anything has been sent; gives what is kept of where the kernel came from.
    async fn check(&self, name: &str, request: ImportKernel) -> Result<String, EngineError> {
        let invalid = |what, value: &str, why: String| EngineError::Invalid {
            what,
            value: shown(value),
            why,
        };
        VmName::parse(name).map_err(|error| invalid("name", name, error.to_string()))?;
        if let Some(distro) = &request.distro {
            VmName::parse(distro).map_err(|error| invalid("distro", distro, error.to_string()))?;
        }
        let known = self.shared.artefacts.kernels_known();
        if known.iter().any(|known| known.name == name) {
            let why = "the catalog has a kernel of that name; give yours another";
            return Err(invalid("name", name, why.to_owned()));
        }
        self.require_free(name).await?;
        Ok(json!({"from": IMPORTED, "distro": request.distro, OF_IMAGE: request.of_image}).to_string())
    }

    async fn require_free(&self, name: &str) -> Result<(), EngineError> {
        match self.shared.store.kernels().get(name).await? {
            Some(_) => Err(EngineError::KernelExists {
                name: name.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Deletes a kernel that no image and no VM uses.
    ///
    /// # Errors
    /// [`EngineError::KernelNotFound`], [`EngineError::KernelInUse`], or its files cannot be removed.
    pub async fn delete(&self, name: &str) -> Result<(), EngineError> {
        let artefacts = &self.shared.artefacts;
        let _lock = artefacts.hold_kernel(name).await;
        let _gate = artefacts.gate().await;
        let row = self.find(name).await?;
        let store = &self.shared.store;
        let images = of_images(&row, &store.images().list().await?);
        let vms = of_vms(&row, &store.vms().list().await?);
        if !images.is_empty() || !vms.is_empty() {
            return Err(EngineError::KernelInUse {
                name: row.name,
                images,
                vms,
            });
        }
        artefacts.remove_kernel(name).await
    }

    /// Removes the kernel that came with an image that is gone, unless something else uses it by now. The caller holds
    /// no lock.
    pub(crate) async fn delete_of_image(&self, image: &str) -> Result<(), EngineError> {
        let Some(row) = self.shared.store.kernels().get(image).await? else {
            return Ok(());
        };
        let source: Value = serde_json::from_str(&row.source).unwrap_or_default();
        if source[OF_IMAGE] != true {
            return Ok(());
        }
        match self.delete(image).await {
            Err(EngineError::KernelInUse { .. } | EngineError::KernelNotFound { .. }) => Ok(()),
            outcome => outcome,
        }
    }

    fn view(&self, row: KernelRow, images: &[ImageRow], vms: &[VmRow]) -> api::Kernel {
        let source: Value = serde_json::from_str(&row.source).unwrap_or_default();
        let kernel = self.shared.artefacts.kernel_version(&row.name, &row.version);
        let known = self.shared.artefacts.kernels_known();
        let in_catalog = known.into_iter().find(|known| known.name == row.name);
        api::Kernel {
            id: format!("{}-{}", row.name, row.version),
            kind: match source["from"].as_str() {
                Some(IMPORTED) => KernelKind::Imported,
                _ => KernelKind::Catalog,
            },
            distro: source["distro"]
                .as_str()
                .map(str::to_owned)
                .or_else(|| in_catalog.map(|known| known.distro)),
            arch: ARCHITECTURE.to_owned(),
            bytes: row.bytes,
            initrd: kernel.is_some_and(|kernel| kernel.initrd().is_some()),
            images: of_images(&row, images),
            vms: of_vms(&row, vms),
            created_at: row.created_at,
            name: row.name,
            version: row.version,
        }
    }
}

/// Why a kernel was not taken.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

fn of_images(kernel: &KernelRow, images: &[ImageRow]) -> Vec<String> {
    let using = images.iter().filter(|image| image.kernel == kernel.name);
    using.map(|image| image.name.clone()).collect()
}

fn of_vms(kernel: &KernelRow, vms: &[VmRow]) -> Vec<String> {
    let using = vms.iter().filter(|vm| vm.kernel == kernel.name);
    using.map(|vm| vm.name.clone()).collect()
}

/// What a user wrote, for a line of ours.
fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_default).collect()
}
