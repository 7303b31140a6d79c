//! What the tests of this crate share: hand-made layers, images in a layout, flattened trees.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file uses a part of it"
)]

pub mod oracle;
pub mod server;
pub mod tar;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use oci::{Compression, Digest, Entry, Kind, Layer, Limits, OciError};
use progress::Cancel;
use serde_json::{Value, json};

/// Packs a layer.
pub fn pack(archive: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::Plain => archive.to_vec(),
        Compression::Gzip => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(archive).unwrap();
            packer.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(archive, 1).unwrap(),
    }
}

/// A layer in a file without a name.
pub fn layer(name: &str, blob: &[u8], compression: Compression, diff_id: Option<Digest>) -> Layer {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(blob).unwrap();
    Layer::new(name, file, compression, diff_id).unwrap()
}

/// Plain layers, named by their place.
pub fn layers(archives: &[Vec<u8>]) -> Vec<Layer> {
    let named = archives.iter().enumerate();
    named
        .map(|(index, archive)| {
            layer(
                &index.to_string(),
                archive,
                Compression::Plain,
                Some(Digest::of(archive)),
            )
        })
        .collect()
}

/// An entry with its data.
pub type Flat = (Entry, Vec<u8>);

/// Everything that comes out, in order.
pub fn flatten(layers: &[Layer]) -> Result<Vec<Flat>, OciError> {
    flatten_within(layers, &Limits::default())
}

pub fn flatten_within(layers: &[Layer], limits: &Limits) -> Result<Vec<Flat>, OciError> {
    flatten_and_tell(layers, limits).map(|(flat, _)| flat)
}

/// Everything, and whether it took a plan.
pub fn flatten_and_tell(layers: &[Layer], limits: &Limits) -> Result<(Vec<Flat>, bool), OciError> {
    match collect(oci::flatten(layers, limits, &Cancel::default())) {
        Err(error) if error.wants_plan() => collect(oci::flatten_by_plan(layers, limits, &Cancel::default())),
        outcome => outcome,
    }
}

fn collect(mut flattened: oci::Flattened) -> Result<(Vec<Flat>, bool), OciError> {
    let mut found = Vec::new();
    while let Some(mut merged) = flattened.next()? {
        let mut data = Vec::new();
        if merged.read_to_end(&mut data).is_err() {
            return Err(flattened.next().map(drop).unwrap_err());
        }
        found.push((merged.entry.clone(), data));
    }
    Ok((found, flattened.needed_a_plan()))
}

/// One line for each path: what it is, in words that are easy to compare. Hard links show the data they lead to. What
/// comes again replaces what came before.
pub fn tree(flat: &[Flat]) -> BTreeMap<String, String> {
    let mut tree: BTreeMap<String, String> = BTreeMap::new();
    for (entry, data) in flat {
        let path = entry.path.escape_ascii().to_string();
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let line = match &entry.kind {
            Kind::File { size } => {
                assert_eq!(*size, data.len() as u64, "{path}");
                format!("file {}", text(data))
            }
            Kind::Directory => "directory".to_owned(),
            Kind::Symlink { target } => format!("link {}", text(target)),
            Kind::HardLink { target } => {
                let target = target.escape_ascii().to_string();
                tree.get(&target)
                    .cloned()
                    .unwrap_or_else(|| panic!("{path} before {target}"))
            }
            other => format!("{other:?}"),
        };
        if line != "directory" {
            let below = format!("{path}/");
            tree.retain(|name, _| !name.starts_with(&below));
        }
        tree.insert(path, line);
    }
    tree
}

/// The tree of plain layers, without the directories.
pub fn files(archives: &[Vec<u8>]) -> Vec<(String, String)> {
    let mut tree = tree(&flatten(&layers(archives)).unwrap());
    tree.retain(|_, line| line != "directory");
    tree.into_iter().collect()
}

pub fn pair(path: &str, line: &str) -> (String, String) {
    (path.to_owned(), line.to_owned())
}

/// An image in a layout of its own.
pub struct TestImage {
    pub folder: tempfile::TempDir,
    pub manifest: Digest,
    pub layers: Vec<Digest>,
}

pub const TAG: &str = "1";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl TestImage {
    /// An image of archives with the compression of each.
    pub fn new(archives: &[(Vec<u8>, Compression)]) -> Self {
        Self::with(archives, &json!({"Env": ["A=b"], "Cmd": ["true"]}), "amd64")
    }

    pub fn with(archives: &[(Vec<u8>, Compression)], config: &Value, architecture: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let put = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            fs::write(blobs.join(digest.hex()), bytes).unwrap();
            digest
        };
        let mut layers = Vec::new();
        let mut descriptors = Vec::new();
        for (archive, compression) in archives {
            let blob = pack(archive, *compression);
            let suffix = match compression {
                Compression::Plain => "",
                Compression::Gzip => "+gzip",
                Compression::Zstd => "+zstd",
            };
            layers.push(put(&blob));
            descriptors.push(json!({
                "mediaType": format!("application/vnd.oci.image.layer.v1.tar{suffix}"),
                "digest": layers.last().unwrap(), "size": blob.len(),
            }));
        }
        let diff_ids: Vec<Digest> = archives.iter().map(|(archive, _)| Digest::of(archive)).collect();
        let config = json!({
            "os": "linux", "architecture": architecture, "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": descriptors,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": put(config.as_bytes()), "size": config.len(),
            },
        });
        let manifest = manifest.to_string();
        let digest = put(manifest.as_bytes());
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": MANIFEST, "digest": digest, "size": manifest.len(),
                "platform": {"os": "linux", "architecture": architecture},
                "annotations": {"org.opencontainers.image.ref.name": TAG},
            }],
        });
        fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
        fs::write(
            folder.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        Self {
            folder,
            manifest: digest,
            layers,
        }
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join("blobs/sha256").join(digest.hex())
    }

    pub fn read(&self, digest: &Digest) -> Vec<u8> {
        fs::read(self.blob(digest)).unwrap()
    }
}

/// Whether a program is there; says so where it is not.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).exists());
    if !found {
        eprintln!("left out: needs {program}");
    }
    found
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
