//! Container images made by hand.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of a configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer that is not packed; `+gzip` and `+zstd` follow where it is.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What a blob is called.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// The archive of a layer that holds these files.
///
/// # Panics
/// A path is no member's name.
#[must_use]
pub fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, text.as_bytes())
            .expect("memory takes it");
    }
    tar.into_inner().expect("memory takes it")
}

/// A layer as a registry has it.
#[derive(Clone, Debug)]
pub struct TestLayer {
    /// What the manifest says it is.
    pub media_type: String,
    /// The blob.
    pub blob: Vec<u8>,
    /// What the configuration says is the digest of its archive.
    pub diff_id: String,
}

impl TestLayer {
    /// One that is not packed.
    #[must_use]
    pub fn plain(archive: Vec<u8>) -> Self {
        Self {
            media_type: LAYER.to_owned(),
            diff_id: digest(&archive),
            blob: archive,
        }
    }

    fn descriptor(&self) -> Value {
        described(&self.media_type, &self.blob)
    }
}

/// How a document names another one, or a blob.
#[must_use]
pub fn described(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// An image, by its blobs.
#[derive(Clone, Debug)]
pub struct TestImage {
    /// Its manifest.
    pub manifest: Vec<u8>,
    /// Its configuration and layers, by digest.
    pub blobs: HashMap<String, Vec<u8>>,
    /// Digest of its configuration.
    pub config: String,
}

impl TestImage {
    /// An image of layers that are not packed.
    #[must_use]
    pub fn new(layers: &[Vec<u8>], config: &Value) -> Self {
        let layers: Vec<_> = layers.iter().cloned().map(TestLayer::plain).collect();
        let document = Self::document(&layers, config);
        Self::of(&layers, document.to_string().as_bytes())
    }

    /// The configuration of an image of these layers.
    #[must_use]
    pub fn document(layers: &[TestLayer], config: &Value) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
        json!({
            "os": "linux",
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "config": config,
        })
    }

    /// An image of these layers and this configuration.
    #[must_use]
    pub fn of(layers: &[TestLayer], document: &[u8]) -> Self {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(CONFIG, document),
            "layers": layers.iter().map(TestLayer::descriptor).collect::<Vec<_>>(),
        });
        let mut blobs: HashMap<_, _> = layers
            .iter()
            .map(|layer| (digest(&layer.blob), layer.blob.clone()))
            .collect();
        let config = digest(document);
        blobs.insert(config.clone(), document.to_vec());
        Self {
            manifest: manifest.to_string().into_bytes(),
            blobs,
            config,
        }
    }

    /// The same with a byte of this layer changed, and not its digest.
    ///
    /// # Panics
    /// It has no such layer.
    #[must_use]
    pub fn with_damaged(mut self, layer: &[u8]) -> Self {
        let blob = self.blobs.get_mut(&digest(layer)).expect("it has the layer");
        blob[600] ^= 1;
        self
    }

    /// Writes it as an OCI layout.
    ///
    /// # Panics
    /// The folder cannot be written to.
    pub fn write_layout(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("the folder is writable");
        let write = |bytes: &[u8], path: &Path| std::fs::write(path, bytes).expect("the folder is writable");
        for (name, bytes) in &self.blobs {
            write(bytes, &blobs.join(name.trim_start_matches("sha256:")));
        }
        let name = digest(&self.manifest);
        write(&self.manifest, &blobs.join(name.trim_start_matches("sha256:")));
        let index = json!({"schemaVersion": 2, "manifests": [described(MANIFEST, &self.manifest)]});
        write(index.to_string().as_bytes(), &folder.join("index.json"));
        write(br#"{"imageLayoutVersion":"1.0.0"}"#, &folder.join("oci-layout"));
    }
}
