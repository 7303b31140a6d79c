//! Container images become images: pulled once however many ask at once, published whole.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use model::{BootWay, ImageKind};
use rootfs::erofs::Compression;
use rootfs::probe::FileSystem;
use serde_json::json;
use store::ImageRow;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::container::{self, Origin, Registries, megabytes};
use super::often::Often;
use super::{Artefacts, Image, KnownKernel, Made, image_path, sync_folder};
use crate::EngineError;
use crate::artefacts::{Progress, Report, SourceError};
use crate::operations::OperationHandle;

/// Longest name of an image.
const LONGEST_NAME: usize = 63;

/// An image to be made of a container image.
#[derive(Debug)]
pub(crate) struct Import {
    /// Name to give it.
    pub(crate) name: String,
    /// Kernel that boots it.
    pub(crate) kernel: String,
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// Whether one that is here under the same name and reference will do.
    pub(crate) any_age: bool,
}

/// An image that a VM is to start from.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Its name.
    pub(crate) name: String,
    /// The kernel that boots it.
    pub(crate) kernel: String,
    /// How that does.
    pub(crate) boot: BootWay,
    /// How it is had, where neither the store nor the catalog has it.
    pub(crate) import: Option<Import>,
}

impl Artefacts {
    /// What the user means by an image: a name of the store or the catalog, or a reference, which has `:`, `/` or `@`
    /// in it. A bare word that nobody knows is a misspelt name rather than one of docker.io.
    ///
    /// # Errors
    /// [`EngineError::ImageNotFound`], or what is wrong with the reference.
    pub(crate) async fn wanted(
        &self,
        text: &str,
        access: api::RegistryAccess,
        default_image: &str,
    ) -> Result<Wanted, EngineError> {
        let here = |row: ImageRow| Wanted {
            name: row.name,
            kernel: row.kernel,
            boot: row.boot,
            import: None,
        };
        if let Some(row) = self.store.images().get(text).await? {
            return Ok(here(row));
        }
        self.ask_catalog(text).await?;
        if is_bare(text) || self.is_in_catalog(text) {
            return Ok(Wanted {
                kernel: self.kernel_of(text).await?,
                name: text.to_owned(),
                boot: BootWay::Overlay,
                import: None,
            });
        }
        let reference = parse(text)?;
        if let Some(row) = self.store.images().by_reference(&reference.to_string()).await? {
            return Ok(here(row));
        }
        let name = self.free_name(&reference).await?;
        let kernel = self.kernel_of(default_image).await?;
        Ok(Wanted {
            name: name.clone(),
            kernel: kernel.clone(),
            boot: BootWay::Overlay,
            import: Some(Import {
                name,
                kernel,
                origin: Origin::Registry { reference, access },
                any_age: true,
            }),
        })
    }

    /// Asks the catalog about an image that a VM is to have, unless it is here or can only be a registry's. Changes
    /// nothing else: it may be dropped at any time.
    pub(crate) async fn look_up(&self, text: &str) -> Result<(), EngineError> {
        match self.store.images().get(text).await? {
            Some(_) => Ok(()),
            None => self.ask_catalog(text).await,
        }
    }

    /// The same of an image that is not here.
    async fn ask_catalog(&self, text: &str) -> Result<(), EngineError> {
        if is_bare(text) || self.is_in_catalog(text) {
            self.refresh("image", text).await?;
        }
        Ok(())
    }

    /// A name for an image that was given none: the last part of its repository, with the tag and then with a hash of
    /// the whole reference where that is taken.
    async fn free_name(&self, reference: &oci::RegistryReference) -> Result<String, EngineError> {
        let short = name_of(reference)?;
        let tagged = reference.tag().map(|tag| format!("{short}-{}", plain(tag)));
        for name in [Some(short.clone()), tagged].into_iter().flatten() {
            let sound = model::VmName::parse(&name).is_ok();
            if sound && !self.is_in_catalog(&name) && self.store.images().get(&name).await?.is_none() {
                return Ok(name);
            }
        }
        let hash = oci::Digest::of(reference.to_string().as_bytes()).short();
        let stem: String = short.chars().take(LONGEST_NAME - 1 - hash.len()).collect();
        Ok(format!("{}-{hash}", stem.trim_end_matches('-')))
    }

    /// Keeps root file systems from getting or losing names and rows while it is held.
    pub(crate) async fn gate(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.gate.lock().await
    }

    pub(crate) fn is_in_catalog(&self, name: &str) -> bool {
        self.sources.images().iter().any(|known| known.name == name)
    }

    /// Learns what is published now, since something is not known.
    pub(crate) async fn refresh(&self, kind: &'static str, name: &str) -> Result<(), EngineError> {
        let sources = Arc::clone(&self.sources);
        let cancel = CancellationToken::new();
        // A caller that leaves does not leave a thread waiting for a server.
        let _cancel = cancel.clone().drop_guard();
        let refreshed = tokio::task::spawn_blocking(move || sources.refresh(&cancel))
            .await
            .map_err(|panic| EngineError::Internal(format!("reading the catalog: {panic}")))?;
        refreshed.map_err(|error| EngineError::Artefact {
            action: "look for",
            kind,
            name: name.to_owned(),
            hint: error.hint(),
            source: Box::new(error),
        })
    }

    /// The kernels that can be fetched.
    pub(crate) fn kernels_known(&self) -> Vec<KnownKernel> {
        self.sources.kernels()
    }

    /// The kernel that boots an image: the one asked for, if anybody has it, else the default image's.
    ///
    /// # Errors
    /// [`EngineError::KernelNotFound`].
    pub(crate) async fn kernel_for(
        &self,
        kernel: Option<String>,
        default_image: &str,
    ) -> Result<String, EngineError> {
        match kernel {
            Some(name) => self.require_kernel(name).await,
            None => self.kernel_of(default_image).await,
        }
    }

    async fn require_kernel(&self, name: String) -> Result<String, EngineError> {
        let rows = self.store.kernels().list().await?;
        let in_catalog = self.sources.kernels().into_iter().map(|known| known.name);
        let mut known: Vec<String> = rows.into_iter().map(|row| row.name).chain(in_catalog).collect();
        known.sort();
        known.dedup();
        if known.contains(&name) {
            return Ok(name);
        }
        Err(EngineError::KernelNotFound { name, known })
    }

    /// A kernel that a VM is to have in the place of its image's.
    ///
    /// # Errors
    /// [`EngineError::KernelNotFound`], or it cannot boot such an image.
    pub(crate) async fn kernel_that_boots(&self, name: String, boot: BootWay) -> Result<String, EngineError> {
        let name = self.require_kernel(name).await?;
        if boot == BootWay::Direct {
            self.require_initrd(&name).await?;
        }
        Ok(name)
    }

    /// Makes an image of a container image. The one that had the name is replaced if it came from the same place.
    pub(crate) async fn import(
        &self,
        import: Import,
        operation: &OperationHandle,
    ) -> Result<Image, EngineError> {
        let Import {
            name,
            kernel,
            origin,
            any_age,
        } = import;
        let stage = operation.stage("image", &name);
        let guard = self
            .locks
            .hold("image", &name, &stage, operation.cancellation())
            .await?;
        let reference = origin.reference();
        if let Some(row) = self.store.images().get(&name).await? {
            if row.reference != reference || reference.is_none() {
                return Err(EngineError::ImageExists {
                    name,
                    from: row.reference,
                });
            }
            if any_age && let Some(image) = self.image_digest(&row.digest) {
                stage.done(&name);
                return Ok(Image {
                    config: row.config,
                    ..image
                });
            }
        }
        let cancel = progress::Cancel::default();
        let watch = watch(operation, cancel.clone());
        let target = Target {
            images: self.paths.images(),
            blobs: self.paths.blobs(),
            compression: self.sources.compression(),
        };
        let registries = self.registries.clone();
        let teller = operation.clone();
        let told = reference.clone();
        let what = reference.clone().unwrap_or_else(|| name.clone());
        let made = self
            .make(
                "import",
                "image",
                &what,
                stage,
                operation.cancellation(),
                guard,
                move |_, report, _| {
                    let _watch = watch;
                    let fetched = Mutex::default();
                    let pulled = pull(
                        &origin,
                        told.as_deref(),
                        &target,
                        &registries,
                        (&teller, report),
                        (&cancel, &fetched),
                    );
                    if pulled.is_err() && teller.is_out_of_room() {
                        container::forget(&target.blobs, &fetched);
                    }
                    pulled
                },
            )
            .await?;
        let (stage, guard, (staging, made, config)) = made;
        let row = ImageRow {
            name: name.clone(),
            digest: made.digest.clone(),
            kernel,
            bytes: made.bytes,
            entries: made.entries,
            source: made.source.clone(),
            created_at: Timestamp::now(),
            kind: ImageKind::Oci,
            reference,
            config: Some(config),
            path: None,
            boot: BootWay::Overlay,
            work_seed: None,
        };
        let image = self.publish(staging, made.file_system, row).await?;
        drop(guard);
        stage.done(&format!("{name}  {}", made.note));
        Ok(image)
    }

    /// Gives a finished root file system its name and its row. Nobody prunes between the two.
    pub(super) async fn publish(
        &self,
        staging: NamedTempFile,
        file_system: FileSystem,
        row: ImageRow,
    ) -> Result<Image, EngineError> {
        let _gate = self.gate.lock().await;
        let images = self.paths.images();
        let target = image_path(&images, &row.digest, file_system);
        staging
            .persist(&target)
            .map_err(|error| EngineError::file("write", &target)(error.error))?;
        sync_folder(&images).map_err(|error| EngineError::Internal(error.to_string()))?;
        let image = Image {
            digest: row.digest.clone(),
            rootfs: target,
            config: row.config.clone(),
            boot: row.boot,
            work_seed: row.work_seed.clone(),
        };
        self.store.images().replace(row).await?;
        Ok(image)
    }
}

/// Where an image and its layers go, and how.
struct Target {
    images: PathBuf,
    blobs: PathBuf,
    compression: Compression,
}

/// The part of the work that blocks: nothing is seen of it until it is published.
fn pull(
    origin: &Origin,
    reference: Option<&str>,
    target: &Target,
    registries: &Registries,
    (operation, report): (&OperationHandle, &Progress<'_>),
    (cancel, fetched): (&progress::Cancel, &Mutex<Vec<oci::Digest>>),
) -> Result<(NamedTempFile, Made, String), SourceError> {
    let told = |error: container::ContainerError| SourceError::Failed {
        hint: error.hint(origin),
        source: Box::new(error),
    };
    let image = origin
        .open(&target.blobs, registries, operation, (cancel, fetched))
        .map_err(|error| told(error.into()))?;
    let staging =
        durable::staging(&target.images).map_err(SourceError::file("create a file in", &target.images))?;
    let mut out = staging
        .as_file()
        .try_clone()
        .map_err(SourceError::file("open", staging.path()))?;
    for warning in &image.warnings {
        report(Report::Warning(warning));
    }
    let often = Often::default();
    let tell = |what: &str, done, total| {
        if often.is_due() || done == total {
            report(Report::Progress(what, Some(done), Some(total)));
        }
    };
    let written = container::write(&image, target.compression, &mut out, cancel, &tell).map_err(told)?;
    if written.left_out > 0 {
        report(Report::Warning(&format!(
            "{} devices 0:0 of the image are left out: in a VM they would stand for names that were removed",
            written.left_out
        )));
    }
    out.sync_all()
        .map_err(SourceError::file("sync", staging.path()))?;
    let config = serde_json::to_string(&image.config).map_err(|error| SourceError::Failed {
        source: Box::new(error),
        hint: None,
    })?;
    let count = image.layers.len();
    let layers = if count == 1 { "layer" } else { "layers" };
    let made = Made {
        digest: written.digest,
        bytes: written.bytes,
        entries: written.entries,
        source: json!({
            "from": if reference.is_some() { "registry" } else { "archive" },
            "reference": reference,
            "digest": image.digest.to_string(),
        })
        .to_string(),
        note: format!("{count} {layers}, {}", megabytes(written.bytes)),
        ..Made::default()
    };
    Ok((staging, made, config))
}

/// Passes an operation's cancellation on, as long as what it gives is kept.
fn watch(operation: &OperationHandle, cancel: progress::Cancel) -> Watch {
    let operation = operation.clone();
    Watch(
        tokio::spawn(async move {
            operation.cancellation().cancelled().await;
            match operation.is_out_of_room() {
                true => cancel.cancel_and_leave_nothing(),
                false => cancel.cancel(),
            }
        })
        .abort_handle(),
    )
}

struct Watch(tokio::task::AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads a reference to an image of a registry.
///
/// # Errors
/// [`EngineError::Invalid`].
pub(crate) fn parse(text: &str) -> Result<oci::RegistryReference, EngineError> {
    oci::RegistryReference::parse(text).map_err(|error| EngineError::Invalid {
        what: "image",
        value: text.chars().take(300).flat_map(char::escape_default).collect(),
        why: match error {
            oci::OciError::BadReference { reason, .. } => reason.to_owned(),
            oci::OciError::UnknownTransport {
                transport, advice, ..
            } => format!("transport `{transport}:` is not known; {advice}"),
            other => other.to_string(),
        },
    })
}

/// The name that a reference gives an image: the last part of its repository.
///
/// # Errors
/// That part makes no name.
pub(crate) fn name_of(reference: &oci::RegistryReference) -> Result<String, EngineError> {
    let last = reference.repository().rsplit('/').next().unwrap_or_default();
    let name = plain(last);
    match model::VmName::parse(&name) {
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(EngineError::Invalid {
            what: "name",
            value: name,
            why: format!("{error}; name the image yourself"),
        }),
    }
}

/// What names may hold: `.` and `_` become `-`.
fn plain(text: &str) -> String {
    text.to_ascii_lowercase().replace(['.', '_'], "-")
}

/// Whether a reference is a name of the catalog's if it is anything: only the catalog can say whose it is.
pub(crate) fn is_bare(text: &str) -> bool {
    !text.contains([':', '/', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_gives_the_image_the_last_part_of_its_repository_as_name() {
        for (reference, name) in [
            ("alpine", "alpine"),
            ("alpine:3.19", "alpine"),
            ("localhost:5000/team/my_app.web:1", "my-app-web"),
            (
                "ghcr.io/a/b/c@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "c",
            ),
        ] {
            assert_eq!(name_of(&parse(reference).unwrap()).unwrap(), name, "{reference}");
        }
    }

    #[test]
    fn a_bad_reference_is_told_with_its_value() {
        let error = parse("UPPER/x:\n").unwrap_err();
        assert!(error.to_string().starts_with("image `UPPER/x:\\n`: "), "{error}");
    }
}
