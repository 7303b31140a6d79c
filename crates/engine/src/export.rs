//! Images as bundles, to be published or carried elsewhere.

use std::fs::File;
use std::io::Write;

use catalog::bundle::{
    BundleError, BundleImage, Description, RootFs, RootFsKind, SCHEMA_VERSION, write_image,
};
use model::BootWay;
use rootfs::probe::{FileSystem, probe};
use serde_json::Value;

use crate::EngineError;
use crate::error::one_line;
use crate::images::Images;

/// What all images are for: kernels of no other are taken.
const ARCHITECTURE: &str = "amd64";

/// An image on its way out. It stays whole, also where the image is deleted meanwhile.
#[derive(Debug)]
pub struct Export {
    manifest: BundleImage,
    rootfs: File,
}

impl Images {
    /// Gets an image ready to be written as a bundle.
    ///
    /// # Errors
    /// [`EngineError::ImageNotFound`], it is more than a bundle holds, or its file cannot be read.
    pub async fn export(&self, reference: &str) -> Result<Export, EngineError> {
        let row = self.find(reference).await?;
        let left_out = match (row.boot, &row.work_seed) {
            (BootWay::Direct, _) => Some("it boots an initrd of its own, which a bundle does not hold"),
            (BootWay::Overlay, Some(_)) => Some("it has a work seed, which a bundle does not hold"),
            (BootWay::Overlay, None) => None,
        };
        if let Some(why) = left_out {
            return Err(EngineError::Invalid {
                what: "image",
                value: row.name,
                why: why.to_owned(),
            });
        }
        let image = self.artefacts().find_digest(&row.digest).await?;
        let image = image.ok_or_else(|| EngineError::ImageFileGone {
            name: row.name.clone(),
            reference: row.reference.clone(),
        })?;
        let rootfs = File::open(&image.rootfs).map_err(EngineError::file("read", &image.rootfs))?;
        let kind = match probe(&rootfs) {
            Ok(FileSystem::Ext4) => RootFsKind::Ext4,
            // What is damaged shows when it is written.
            Ok(FileSystem::Erofs) | Err(_) => RootFsKind::Erofs,
        };
        let source: Value = serde_json::from_str(&row.source).unwrap_or_default();
        let config = row.config.as_deref().map(serde_json::from_str).transpose();
        let config =
            config.map_err(|error| EngineError::Internal(format!("an image's configuration: {error}")))?;
        Ok(Export {
            manifest: BundleImage {
                schema_version: SCHEMA_VERSION,
                about: Description {
                    name: row.name,
                    distro: source["distro"].as_str().unwrap_or_default().to_owned(),
                    arch: ARCHITECTURE.to_owned(),
                    description: row.reference.unwrap_or_default().chars().take(200).collect(),
                },
                kernel: row.kernel,
                rootfs: RootFs {
                    kind,
                    bytes: row.bytes,
                    sha256: row.digest,
                    entries: row.entries,
                },
                config,
            },
            rootfs,
        })
    }
}

impl Export {
    /// Writes the bundle. Blocks.
    ///
    /// # Errors
    /// What `out` fails with, or the file is not what it was.
    pub fn write(self, out: impl Write) -> Result<(), EngineError> {
        let name = self.manifest.about.name.clone();
        match write_image(self.manifest, self.rootfs, out) {
            Ok(_) => Ok(()),
            Err(source) => {
                if !matches!(source, BundleError::Write(_)) {
                    tracing::error!(image = %name, error = %one_line(&source), "an image is damaged");
                }
                Err(EngineError::Artefact {
                    action: "export",
                    kind: "image",
                    name,
                    source: Box::new(source),
                    hint: None,
                })
            }
        }
    }
}
