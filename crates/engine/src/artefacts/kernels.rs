//! Kernels on disk: a folder for each name and version, fetched once however many ask at once, published whole.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use store::KernelRow;
use tempfile::TempDir;

use super::locks::NameGuard;
use super::sources::{Made, SourceError};
use super::{Artefacts, sync_folder};
use crate::EngineError;
use crate::operations::{OperationHandle, Stage};

/// Why an image does not boot directly with a kernel.
pub(super) const NO_INITRD: &str = "it has no initrd of its own, which the image would boot";

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
    fn at(kernels: &Path, name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            folder: kernels.join(format!("{name}-{version}")),
        }
    }

    /// The uncompressed kernel.
    pub(crate) fn vmlinux(&self) -> PathBuf {
        self.folder.join(rootfs::kernel::VMLINUX)
    }

    /// The initrd that came with it, if one did.
    pub(crate) fn initrd(&self) -> Option<PathBuf> {
        Some(self.folder.join(rootfs::kernel::INITRD)).filter(|path| path.is_file())
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

/// A kernel that has been taken apart and has no name yet. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct StagedKernel {
    folder: TempDir,
    pub(crate) made: Made,
}

impl StagedKernel {
    /// Lets `make` fill a folder.
    pub(crate) fn make<E: From<SourceError>>(
        kernels: &Path,
        name: &str,
        make: impl FnOnce(&Path) -> Result<Made, E>,
    ) -> Result<Self, E> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}{name}-", durable::STAGING))
            .tempdir_in(kernels)
            .map_err(SourceError::file("create a folder in", kernels))?;
        let made = make(folder.path())?;
        Ok(Self { folder, made })
    }
}

impl Artefacts {
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
        self.fetch_kernel(name, stage, guard, operation).await
    }

    /// Fetches the kernel whether or not it is here.
    pub(crate) async fn refetch_kernel(
        &self,
        name: &str,
        operation: &OperationHandle,
    ) -> Result<Kernel, EngineError> {
        let stage = operation.stage("kernel", name);
        let guard = self
            .locks
            .hold("kernel", name, &stage, operation.cancellation())
            .await?;
        self.fetch_kernel(name, stage, guard, operation).await
    }

    async fn fetch_kernel(
        &self,
        name: &str,
        stage: Stage,
        guard: NameGuard,
        operation: &OperationHandle,
    ) -> Result<Kernel, EngineError> {
        let kernels = self.paths.kernels();
        let wanted = name.to_owned();
        let (stage, _guard, staged) = self
            .make(
                "fetch",
                "kernel",
                name,
                stage,
                operation.cancellation(),
                guard,
                move |sources, progress, cancel| {
                    StagedKernel::make(&kernels, &wanted, |folder| {
                        sources.make_kernel(&wanted, folder, progress, cancel)
                    })
                },
            )
            .await?;
        let note = staged.made.note.clone();
        let kernel = self.publish_kernel(name, staged).await?;
        stage.done(&format!("{name} {}  {note}", kernel.version));
        Ok(kernel)
    }

    /// Gives a kernel its name and its row, in the place of the one that had the name. Nobody removes one meanwhile.
    /// The caller holds the lock of the name.
    pub(crate) async fn publish_kernel(
        &self,
        name: &str,
        staged: StagedKernel,
    ) -> Result<Kernel, EngineError> {
        let _gate = self.gate().await;
        let StagedKernel { folder, made } = staged;
        let kernel = Kernel::at(&self.paths.kernels(), name, &made.version);
        let target = kernel.folder.clone();
        tokio::task::spawn_blocking(move || publish_folder(folder, &target))
            .await
            .map_err(|panic| EngineError::Internal(format!("publishing a kernel: {panic}")))?
            .map_err(|error| EngineError::Artefact {
                action: "keep",
                kind: "kernel",
                name: name.to_owned(),
                source: Box::new(error),
                hint: None,
            })?;
        // Another build of the same version has other modules to boot with.
        self.initramfs.forget(&kernel)?;
        let row = KernelRow {
            name: name.to_owned(),
            version: made.version,
            bytes: made.bytes,
            source: made.source,
            created_at: Timestamp::now(),
        };
        self.store.kernels().replace(row).await?;
        self.remove_unused_kernels(false).await?;
        Ok(kernel)
    }

    /// Holds the lock of a kernel's name, without an operation that could wait for it in sight of its user.
    pub(crate) async fn hold_kernel(&self, name: &str) -> NameGuard {
        self.locks.hold_silently("kernel", name).await
    }

    /// Takes a kernel's row away, and then its files. The caller holds its lock and the gate.
    pub(crate) async fn remove_kernel(&self, name: &str) -> Result<(), EngineError> {
        // Row first: files without a row are garbage that a prune finds, a row without its files is a lie.
        self.store.kernels().delete(name).await?;
        self.remove_unused_kernels(false).await.map(drop)
    }

    /// Removes versions of kernels that no name leads to and no VM uses; gives how many and how large. The caller
    /// holds the gate.
    pub(crate) async fn remove_unused_kernels(&self, dry_run: bool) -> Result<(u64, u64), EngineError> {
        let kernels = self.paths.kernels();
        let rows = self.store.kernels().list().await?;
        let vms = self.store.vms().list().await?;
        let used: Vec<Kernel> = rows
            .iter()
            .map(|row| (&row.name, &row.version))
            .chain(vms.iter().map(|vm| (&vm.kernel, &vm.kernel_version)))
            .map(|(name, version)| Kernel::at(&kernels, name, version))
            .collect();
        let entries = std::fs::read_dir(&kernels).map_err(EngineError::file("read", &kernels))?;
        let (mut count, mut bytes) = (0, 0);
        for entry in entries.flatten() {
            let path = entry.path();
            // What is being made starts with a dot, and is its maker's.
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if hidden || used.iter().any(|kernel| kernel.folder == path) {
                continue;
            }
            count += 1;
            bytes += crate::space::used(&path);
            if !dry_run {
                remove_folder(&path)?;
            }
        }
        Ok((count, bytes))
    }

    /// The kernel of that name and version, if its files are here.
    pub(crate) fn kernel_version(&self, name: &str, version: &str) -> Option<Kernel> {
        Some(Kernel::at(&self.paths.kernels(), name, version)).filter(|kernel| kernel.vmlinux().is_file())
    }

    /// Refuses a kernel that is not here, or has no initrd of its own.
    pub(crate) async fn require_initrd(&self, name: &str) -> Result<(), EngineError> {
        match self.kernel(name).await? {
            Some(kernel) if kernel.initrd().is_some() => Ok(()),
            _ => Err(EngineError::Invalid {
                what: "kernel",
                value: name.to_owned(),
                why: NO_INITRD.to_owned(),
            }),
        }
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
}

/// Gives a finished folder its name: readers never see half of one, nor none where there was one.
fn publish_folder(staging: TempDir, target: &Path) -> Result<(), SourceError> {
    sync_folder(staging.path())?;
    let swapped = renameat_with(CWD, staging.path(), CWD, target, RenameFlags::EXCHANGE);
    match swapped.map_err(io::Error::from) {
        // What had the name goes with the staging folder.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::rename(staging.path(), target).map_err(SourceError::file("write", target))?;
            // The folder lives on under its new name.
            let _ = staging.keep();
        }
        Err(error) => return Err(SourceError::file("replace", target)(error)),
    }
    match target.parent() {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

/// Renames a folder aside, so that nobody takes it for whole, and removes it.
fn remove_folder(folder: &Path) -> Result<(), EngineError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.with_file_name(format!("{}gone-{name}", durable::STAGING));
    std::fs::rename(folder, &aside)
        .and_then(|()| std::fs::remove_dir_all(&aside))
        .map_err(EngineError::file("remove", folder))
}
