//! An image that is here: its configuration and its layers, ready to be flattened.

use std::fs::File;
use std::sync::Arc;

use crate::config::ImageConfig;
use crate::config_document::ConfigDocument;
use crate::digest::Digest;
use crate::document::{LayerDescriptor, Platform};
use crate::error::OciError;
use crate::layer::Layer;

/// An image whose blobs have been checked.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of its manifest; of its configuration where it came from a docker archive, which has no manifest.
    pub digest: Digest,
    /// What it says about running it.
    pub config: ImageConfig,
    /// Its layers, oldest first.
    pub layers: Vec<Layer>,
    /// What was left out of its configuration, a line each, as it may be shown.
    pub warnings: Vec<String>,
}

impl Image {
    /// Holds manifest and configuration against each other and against what was asked for.
    pub(crate) fn check(
        name: &str,
        wanted: Platform,
        layers: &[LayerDescriptor],
        config: &ConfigDocument,
    ) -> Result<(), OciError> {
        if !wanted.is(&config.os, &config.architecture) {
            return Err(OciError::NoPlatform {
                image: name.to_owned(),
                wanted: wanted.to_string(),
                available: crate::document::shown(&format!("{}/{}", config.os, config.architecture)),
            });
        }
        if layers.len() != config.diff_ids.len() {
            return Err(OciError::LayerCount {
                layers: layers.len(),
                diff_ids: config.diff_ids.len(),
            });
        }
        Ok(())
    }

    /// An image of layers whose files are open.
    pub(crate) fn new(
        digest: Digest,
        layers: &[LayerDescriptor],
        config: ConfigDocument,
        file: impl Fn(&LayerDescriptor) -> Arc<File>,
    ) -> Self {
        let layers = layers.iter().zip(&config.diff_ids).map(|(layer, diff_id)| {
            let name = layer.digest.to_string();
            Layer::part(
                &name,
                file(layer),
                (0, layer.size),
                layer.compression,
                Some(*diff_id),
            )
        });
        Self {
            digest,
            layers: layers.collect(),
            config: config.config,
            warnings: config.warnings,
        }
    }
}
