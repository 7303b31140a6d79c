//! What a VM consists of on disk: made when it is created, removed when it is deleted.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::BootWay;
use store::{Change, VmRow, VmUpdate};

use super::{Shared, layer_path, recorded};
use crate::EngineError;
use crate::artefacts::import::Import;
use crate::error::one_line;
use crate::operations::OperationHandle;

const MIB: u64 = 1 << 20;
/// Prefix of a VM's folder on its way out.
pub(crate) const GONE: &str = ".gone-";

/// Fetches kernel and image where they are missing and makes the VM's folder and disk.
pub(crate) async fn make(
    shared: &Shared,
    id: &str,
    import: Option<Import>,
    operation: &OperationHandle,
) -> Result<(), EngineError> {
    let row = shared.store.vms().get(id).await?.ok_or(EngineError::Cancelled)?;
    let cancel = operation.cancellation();
    let work = async {
        let kernel = shared.artefacts.ensure_kernel(&row.kernel, operation).await?;
        shared.hit("create.kernel").await?;
        let image = match import {
            Some(import) => shared.artefacts.import(import, operation).await?,
            None => shared.artefacts.ensure_image(&row.image, operation).await?,
        };
        shared.hit("create.image").await?;
        let update = VmUpdate {
            image_digest: Some(image.digest),
            image_config: image.config,
            kernel_version: Some(kernel.version),
            boot: Some(image.boot),
            work_seed: image.work_seed.map_or(Change::Keep, Change::Set),
            disk_size: disk_size(&row, image.boot, &image.rootfs)?,
            ..VmUpdate::default()
        };
        let row = shared.store.vms().update(id, update).await?;
        let (folder, layers, size) = (shared.paths.vm(id), shared.paths.layers(), row.disk_size);
        let (boot, digest) = (row.boot, row.image_digest);
        if boot == BootWay::Direct {
            // All of it is copied, on a file system that cannot share blocks.
            let about = fs::metadata(&image.rootfs).map_err(EngineError::file("read", &image.rootfs))?;
            shared.reserve.check(about.blocks() * 512)?;
        }
        make_folder(&folder)?;
        // Not cancellable in its middle: milliseconds where blocks are shared or there is little data, and what it
        // leaves is removed with the folder.
        tokio::task::spawn_blocking(move || {
            let from = match boot {
                BootWay::Overlay => rootfs::layer::make_template(&layers, size)?,
                BootWay::Direct => image.rootfs,
            };
            rootfs::layer::copy(&from, &layer_path(&folder), size)
        })
        .await
        .map_err(|panic| EngineError::Internal(format!("making a layer: {panic}")))?
        .map_err(|source| EngineError::Layer {
            name: row.name.clone(),
            source,
        })?;
        if boot == BootWay::Direct {
            // A file of the user's could have changed while it was copied.
            shared.artefacts.find_digest(&digest).await?;
        }
        shared.hit("create.layer").await
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(EngineError::Cancelled),
        outcome = work => outcome,
    }
}

/// Ends what runs of a VM and renames its folder out of the way: from here on its files are garbage, whatever happens.
/// Gives the folder's new name, if there was one.
pub(crate) async fn set_aside(shared: &Shared, id: &str) -> Result<Option<PathBuf>, EngineError> {
    let folder = shared.paths.vm(id);
    recorded::tear_down(shared, id).await?;
    let aside = aside(shared, id);
    match fs::rename(&folder, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(aside.exists().then_some(aside)),
        Err(error) => Err(EngineError::file("remove", folder)(error)),
    }
}

/// Where the folder of a VM is while the VM is being removed.
fn aside(shared: &Shared, id: &str) -> PathBuf {
    shared.paths.vms().join(format!("{GONE}{id}"))
}

/// Whether a removal of the VM has begun.
pub(crate) fn is_set_aside(shared: &Shared, id: &str) -> bool {
    aside(shared, id).exists()
}

/// Removes the row of a VM, and its folder that was set aside: that one last, since it says what becomes of the row.
pub(crate) async fn erase(shared: &Shared, id: &str, aside: Option<PathBuf>) -> Result<(), EngineError> {
    let name = shared.store.vms().get(id).await?.map(|row| row.name);
    if let Err(error) = shared.store.vms().delete(id).await {
        // On a full disk the VM's own files are in the way.
        let Some(aside) = &aside else {
            return Err(error.into());
        };
        empty(aside).map_err(EngineError::file("remove", aside))?;
        shared.store.vms().delete(id).await?;
    }
    if let Some(aside) = aside
        && let Err(error) = tokio::fs::remove_dir_all(&aside).await
    {
        // The next daemon tries again.
        tracing::warn!(folder = %aside.display(), %error, "cannot remove a folder");
    }
    if let Some(name) = name {
        if let Err(error) = shared.ssh.forget(&name) {
            // Of no consequence but the line itself: the next VM of that name gets its own.
            tracing::warn!(vm = %name, error = %one_line(&error), "cannot take a VM off the known hosts");
        }
        let id = id.to_owned();
        shared.notices.tell(api::Happening::VmDeleted { id, name });
    }
    Ok(())
}

/// Removes what is in a folder.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// What a disk has to become that begins as a copy, to have room for it.
fn disk_size(row: &VmRow, boot: BootWay, rootfs: &Path) -> Result<Option<u64>, EngineError> {
    if boot == BootWay::Overlay {
        return Ok(None);
    }
    let about = fs::metadata(rootfs).map_err(EngineError::file("read", rootfs))?;
    let needed = about.len().next_multiple_of(MIB);
    Ok((needed > row.disk_size).then_some(needed))
}

fn make_folder(folder: &Path) -> Result<(), EngineError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(EngineError::file("create", folder))
}
