//! Images whose root file system is a file of the user's: read where it lies, and copied when that is asked for.
//!
//! A VM's disk holds what differs from its image: a file that has changed meanwhile is refused rather than mixed with it.
//! A qcow2 is unpacked into a copy of ours at once.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::{BootWay, ImageKind};
use rootfs::probe::{FileSystem, ProbeError, probe};
use rootfs::qcow2::{self, Qcow2Error};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::ImageRow;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::container::megabytes;
use super::{Artefacts, Image, image_path, sync_folder};
use crate::EngineError;
use crate::operations::{OperationHandle, Stage};
use crate::plain_file;

const BUFFER: usize = 1 << 20;

/// Why a file cannot be an image's root file system.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It is no file system, or none that a guest can use.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// It is a qcow2 that cannot be unpacked.
    #[error(transparent)]
    Qcow2(Qcow2Error),
    /// It is a folder, a device, …
    #[error("it is not a regular file")]
    NotAFile,
    /// It is a file system that nobody can write to.
    #[error("it is read-only: an image that boots its own initrd has an ext4")]
    ReadOnly,
    /// It is not what was registered.
    #[error("it has changed since it was registered")]
    Changed,
    /// It changes while it is read.
    #[error("it changes while it is read")]
    Changing,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// A copy of it cannot be written.
    #[error("its copy cannot be written: {0}")]
    Write(#[source] io::Error),
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl From<Qcow2Error> for FileError {
    fn from(error: Qcow2Error) -> Self {
        match error {
            Qcow2Error::Cancelled => Self::Cancelled,
            error => Self::Qcow2(error),
        }
    }
}

impl FileError {
    fn at(self, name: &str, path: &Path) -> EngineError {
        if matches!(self, Self::Cancelled) {
            return EngineError::Cancelled;
        }
        let hint = match &self {
            Self::Probe(error) => error.hint().map(str::to_owned),
            Self::Qcow2(error) => error.hint().map(str::to_owned),
            Self::Changed => Some(format!(
                "put it back as it was, or delete what was made of it: banger image delete {name}"
            )),
            Self::Read(error) if error.kind() == io::ErrorKind::NotFound => {
                Some("put it back where it was; `banger image promote` would have kept a copy".to_owned())
            }
            _ => None,
        };
        EngineError::RegisteredFile {
            name: name.to_owned(),
            path: path.to_owned(),
            hint,
            source: Box::new(self),
        }
    }
}

/// What tells a file from another one, or from what it was.
fn mark(about: &Metadata) -> Value {
    json!({"bytes": about.len(), "modified": about.mtime(), "nanoseconds": about.mtime_nsec()})
}

pub(super) fn open_file(path: &Path) -> Result<(File, Metadata), FileError> {
    plain_file::open(path)
        .map_err(FileError::Read)?
        .ok_or(FileError::NotAFile)
}

/// The image of a row, if the user's file is as it was.
pub(super) fn open(row: &ImageRow) -> Result<(Image, File), EngineError> {
    let path = PathBuf::from(row.path.as_deref().unwrap_or_default());
    let look = || {
        let (file, about) = open_file(&path)?;
        let source: Value = serde_json::from_str(&row.source).unwrap_or_default();
        if source["mark"] != mark(&about) {
            return Err(FileError::Changed);
        }
        Ok(file)
    };
    let file = look().map_err(|error| error.at(&row.name, &path))?;
    let image = Image {
        digest: row.digest.clone(),
        rootfs: path,
        config: None,
        boot: row.boot,
        work_seed: row.work_seed.clone(),
    };
    Ok((image, file))
}

/// Reads a file once to its end; gives its sha256. Copies it to `to` where there is one, holes as holes.
fn read_through(
    file: &File,
    about: &Metadata,
    to: Option<&File>,
    stage: &Stage,
    cancel: &CancellationToken,
) -> Result<String, FileError> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut position = 0;
    let mut source = file;
    if let Some(to) = to {
        to.set_len(about.len()).map_err(FileError::Write)?;
    }
    loop {
        if cancel.is_cancelled() {
            return Err(FileError::Cancelled);
        }
        let read = source.read(&mut buffer).map_err(FileError::Read)?;
        if read == 0 {
            break;
        }
        let piece = &buffer[..read];
        hash.update(piece);
        if let Some(to) = to
            && piece.iter().any(|byte| *byte != 0)
        {
            to.write_all_at(piece, position).map_err(FileError::Write)?;
        }
        position += read as u64;
        stage.progress("reading", Some(position), Some(about.len()));
    }
    let now = file.metadata().map_err(FileError::Read)?;
    if mark(&now) != mark(about) || position != about.len() {
        return Err(FileError::Changing);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What was found out of a file of the user's.
struct Looked {
    file_system: FileSystem,
    about: Metadata,
    digest: String,
    /// The disk out of a qcow2, which is of no use as it lies.
    unpacked: Option<NamedTempFile>,
}

impl Looked {
    fn at(
        path: &Path,
        images: &Path,
        boot: BootWay,
        stage: &Stage,
        cancel: &CancellationToken,
    ) -> Result<Self, FileError> {
        let (file, about) = open_file(path)?;
        let unpacked = match qcow2::is_one(&file).map_err(FileError::Read)? {
            true => Some(unpack(&file, images, stage, cancel)?),
            false => None,
        };
        let disk = unpacked.as_ref().map_or(&file, NamedTempFile::as_file);
        let file_system = probe(disk)?;
        if boot == BootWay::Direct && file_system != FileSystem::Ext4 {
            return Err(FileError::ReadOnly);
        }
        let about = match &unpacked {
            Some(copy) => copy.as_file().metadata().map_err(FileError::Read)?,
            None => about,
        };
        let digest = read_through(disk, &about, None, stage, cancel)?;
        Ok(Self {
            file_system,
            about,
            digest,
            unpacked,
        })
    }
}

fn unpack(
    file: &File,
    images: &Path,
    stage: &Stage,
    cancel: &CancellationToken,
) -> Result<NamedTempFile, FileError> {
    let copy = durable::staging(images).map_err(FileError::Write)?;
    let progress = |done, size| {
        stage.progress("unpacking", Some(done), Some(size));
        !cancel.is_cancelled()
    };
    qcow2::unpack(file, copy.as_file(), progress)?;
    copy.as_file().sync_all().map_err(FileError::Write)?;
    Ok(copy)
}

impl Artefacts {
    /// Gives a copy of a user's file its name. The caller holds the gate until a row names it.
    fn publish_copy(
        &self,
        copy: NamedTempFile,
        digest: &str,
        file_system: FileSystem,
    ) -> Result<(), EngineError> {
        let images = self.paths.images();
        let target = image_path(&images, digest, file_system);
        copy.persist(&target)
            .map_err(|error| EngineError::file("write", &target)(error.error))?;
        sync_folder(&images).map_err(|error| EngineError::Internal(error.to_string()))
    }

    /// Makes an image of a file of the user's, which stays where it is.
    pub(crate) async fn register(
        &self,
        name: &str,
        path: PathBuf,
        kernel: String,
        boot: BootWay,
        seed: Option<PathBuf>,
        operation: &OperationHandle,
    ) -> Result<(), EngineError> {
        let stage = operation.stage("image", name);
        let cancel = operation.cancellation().clone();
        let _guard = self.locks.hold("image", name, &stage, &cancel).await?;
        if let Some(row) = self.store.images().get(name).await? {
            return Err(EngineError::ImageExists {
                name: row.name,
                from: row.reference,
            });
        }
        let (wanted, images) = (path.clone(), self.paths.images());
        let looked = tokio::task::spawn_blocking(move || {
            let looked = Looked::at(&wanted, &images, boot, &stage, &cancel)?;
            Ok::<_, FileError>((stage, looked))
        });
        let looked = looked
            .await
            .map_err(|panic| EngineError::Internal(format!("registering an image: {panic}")))?;
        let (stage, looked) = looked.map_err(|error| error.at(name, &path))?;
        let file_system = looked.file_system;
        let seed = match seed {
            Some(seed) => Some(self.take_seed(name, seed).await?),
            None => None,
        };
        let _gate = self.gate.lock().await;
        let work_seed = match seed {
            Some(seed) => Some(self.publish_seed(seed)?),
            None => None,
        };
        let (kind, file) = match looked.unpacked {
            Some(copy) => {
                self.publish_copy(copy, &looked.digest, file_system)?;
                (ImageKind::Promoted, None)
            }
            None => (ImageKind::Registered, Some(path.to_string_lossy().into_owned())),
        };
        let row = ImageRow {
            name: name.to_owned(),
            digest: looked.digest,
            kernel,
            bytes: looked.about.len(),
            entries: 0,
            source: json!({"from": "file", "file_system": file_system.name(), "mark": mark(&looked.about)})
                .to_string(),
            created_at: Timestamp::now(),
            kind,
            reference: None,
            config: None,
            path: file,
            boot,
            work_seed,
        };
        self.store.images().insert(row).await?;
        stage.done(&format!(
            "{name}  {}, {}",
            file_system.name(),
            megabytes(looked.about.len())
        ));
        Ok(())
    }

    /// Copies the file of a registered image to where images lie. VMs that use it go on with the copy.
    pub(crate) async fn promote(&self, name: &str, operation: &OperationHandle) -> Result<(), EngineError> {
        let stage = operation.stage("image", name);
        let cancel = operation.cancellation().clone();
        let _guard = self.locks.hold("image", name, &stage, &cancel).await?;
        let row = match self.store.images().get(name).await? {
            Some(row) if row.kind == ImageKind::Registered => row,
            _ => {
                return Err(EngineError::Invalid {
                    what: "image",
                    value: name.to_owned(),
                    why: "it is not a registered one: banger has its file already".to_owned(),
                });
            }
        };
        let (image, file) = open(&row)?;
        let images = self.paths.images();
        let copied = tokio::task::spawn_blocking(move || {
            let about = file.metadata().map_err(FileError::Read)?;
            let file_system = probe(&file)?;
            let copy = durable::staging(&images).map_err(FileError::Write)?;
            let digest = read_through(&file, &about, Some(copy.as_file()), &stage, &cancel)?;
            copy.as_file().sync_all().map_err(FileError::Write)?;
            Ok::<_, FileError>((stage, file_system, copy, digest))
        });
        let copied = copied
            .await
            .map_err(|panic| EngineError::Internal(format!("copying an image: {panic}")))?;
        let failed = |error: FileError| error.at(name, &image.rootfs);
        let (stage, file_system, copy, digest) = copied.map_err(failed)?;
        if digest != row.digest {
            return Err(failed(FileError::Changed));
        }
        let _gate = self.gate.lock().await;
        self.publish_copy(copy, &digest, file_system)?;
        let bytes = row.bytes;
        let row = ImageRow {
            kind: ImageKind::Promoted,
            path: None,
            ..row
        };
        self.store.images().replace(row).await?;
        stage.done(&format!("{name}  copied, {}", megabytes(bytes)));
        Ok(())
    }
}
