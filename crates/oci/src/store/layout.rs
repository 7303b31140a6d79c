//! An OCI layout: a folder with `oci-layout`, `index.json` and blobs (image specification, "Image Layout").

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::config_document::ConfigDocument;
use crate::digest::Digest;
use crate::document::{DOCUMENT_MAX, Descriptor, Document, Platform, choose, shown};
use crate::error::OciError;
use crate::image::Image;
use crate::layer::verify;
use crate::plain_file;
use progress::Cancel;

const NAME: &str = "org.opencontainers.image.ref.name";
const VERSION: &str = "1.0.0";
const DEPTH: usize = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// Opens an image of a layout. Its blobs are checked and stay where they are. Without a tag there must be one image
/// only, for whatever platforms.
///
/// # Errors
/// Each names the file or value at fault; see [`OciError`].
pub fn open_layout(
    folder: &Path,
    tag: Option<&str>,
    platform: Platform,
    cancel: &Cancel,
) -> Result<Image, OciError> {
    let layout = Layout { folder, cancel };
    let marker = layout.document(Path::new("oci-layout"))?;
    let marker: Marker = serde_json::from_slice(&marker).map_err(|source| OciError::BadDocument {
        what: folder.join("oci-layout").display().to_string(),
        source,
    })?;
    if marker.image_layout_version != VERSION {
        return Err(OciError::BadStore {
            path: folder.to_owned(),
            reason: format!(
                "layout version `{}` is not known",
                shown(&marker.image_layout_version)
            ),
        });
    }
    let index = folder.join("index.json").display().to_string();
    let parsed = Document::parse(&index, None, &layout.document(Path::new("index.json"))?)?;
    let Document::Index(entries) = parsed else {
        return Err(OciError::BadStore {
            path: folder.to_owned(),
            reason: "index.json is no index".to_owned(),
        });
    };
    let mut entries = select(folder, entries, tag)?;
    let name = folder.display().to_string();
    for _ in 0..DEPTH {
        let chosen = choose(&name, &entries, platform)?.clone();
        let bytes = layout.small(&chosen)?;
        let what = format!("manifest {}", chosen.digest);
        match Document::parse(&what, Some(&chosen.media_type), &bytes)? {
            Document::Index(index) => entries = index,
            Document::Manifest(manifest) => {
                let config = layout.small(&manifest.config)?;
                let what = format!("configuration {}", manifest.config.digest);
                let config = ConfigDocument::parse(&what, &config)?;
                Image::check(&name, platform, &manifest.layers, &config)?;
                let mut files = HashMap::new();
                for layer in &manifest.layers {
                    files.insert(layer.digest, layout.blob(&layer.digest, layer.size)?);
                }
                let file = |digest: &Digest| Arc::clone(&files[digest]);
                return Ok(Image::new(chosen.digest, &manifest.layers, config, |layer| {
                    file(&layer.digest)
                }));
            }
        }
    }
    Err(OciError::BadStore {
        path: folder.to_owned(),
        reason: "an index of indexes of indexes".to_owned(),
    })
}

/// The entries of an index that a tag means: several only where they are one image for several platforms.
fn select(folder: &Path, entries: Vec<Descriptor>, tag: Option<&str>) -> Result<Vec<Descriptor>, OciError> {
    let name = |entry: &Descriptor| entry.annotations.as_ref()?.get(NAME).cloned();
    let mut names: Vec<Option<String>> = entries.iter().map(name).collect();
    names.sort();
    names.dedup();
    let wanted = match tag {
        Some(tag) => Some(tag.to_owned()),
        None if names.len() == 1 => names[0].clone(),
        None => None,
    };
    let several = tag.is_none() && names.len() > 1;
    let found: Vec<_> = entries
        .into_iter()
        .filter(|entry| name(entry) == wanted)
        .collect();
    if several || found.is_empty() {
        let mut available: Vec<String> = names
            .into_iter()
            .flatten()
            .take(20)
            .map(|name| shown(&name))
            .collect();
        if available.is_empty() {
            available.push("no tags".to_owned());
        }
        return Err(OciError::NoSuchTag {
            path: folder.to_owned(),
            wanted: match tag {
                Some(tag) => format!("no image `{tag}`"),
                None if several => "several images, and none was named".to_owned(),
                None => "no image".to_owned(),
            },
            available: available.join(", "),
        });
    }
    Ok(found)
}

struct Layout<'l> {
    folder: &'l Path,
    cancel: &'l Cancel,
}

impl Layout<'_> {
    /// One of the two files that have no digest.
    fn document(&self, name: &Path) -> Result<Vec<u8>, OciError> {
        let path = self.folder.join(name);
        let file = match plain_file::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OciError::BadStore {
                    path: self.folder.to_owned(),
                    reason: format!("is no OCI layout: it has no {}", name.display()),
                });
            }
            file => file.map_err(OciError::file(&path, "open"))?,
        };
        let mut bytes = Vec::new();
        let read = file.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes);
        read.map_err(OciError::file(&path, "read"))?;
        too_large(&path.display().to_string(), bytes.len() as u64)?;
        Ok(bytes)
    }

    fn small(&self, descriptor: &Descriptor) -> Result<Vec<u8>, OciError> {
        too_large(&format!("blob {}", descriptor.digest), descriptor.size)?;
        let file = self.blob(&descriptor.digest, descriptor.size)?;
        let mut bytes = Vec::new();
        let read = (&*file).take(descriptor.size).read_to_end(&mut bytes);
        read.map_err(OciError::file(self.folder, "read"))?;
        Ok(bytes)
    }

    fn blob(&self, digest: &Digest, size: u64) -> Result<Arc<File>, OciError> {
        let path = self.folder.join("blobs/sha256").join(digest.hex());
        let file = Arc::new(plain_file::open(&path).map_err(OciError::file(&path, "open"))?);
        verify(&file, *digest, size, self.cancel, OciError::file(&path, "read"))?;
        Ok(file)
    }
}

fn too_large(what: &str, size: u64) -> Result<(), OciError> {
    if size > DOCUMENT_MAX {
        return Err(OciError::TooLarge {
            what: what.to_owned(),
            limit: DOCUMENT_MAX,
        });
    }
    Ok(())
}
