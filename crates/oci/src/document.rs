//! Indexes and manifests, OCI and Docker schema 2, and which image of an index is meant.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::digest::Digest;
use crate::error::OciError;
use crate::layer::Compression;

/// Most bytes of an index, a manifest or a configuration.
pub(crate) const DOCUMENT_MAX: u64 = 4 << 20;
/// Docker stops at 127.
const LAYERS_MAX: usize = 1024;

const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// What a registry is asked for.
pub(crate) fn accepted() -> String {
    [INDEXES, MANIFESTS].concat().join(", ")
}

/// What an image must run on. The operating system is always Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// `linux/amd64`.
    Amd64,
    /// `linux/arm64`.
    Arm64,
}

impl Platform {
    /// This machine's.
    #[must_use]
    pub fn host() -> Self {
        match cfg!(target_arch = "aarch64") {
            true => Self::Arm64,
            false => Self::Amd64,
        }
    }

    fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Whether something that names its platform runs there. Builders write architectures in their own ways, which
    /// containerd's `platforms.Normalize` lists; what names none is for whoever asks, as in Docker's first images.
    pub(crate) fn is(self, os: &str, architecture: &str) -> bool {
        let architecture = architecture.to_ascii_lowercase();
        let architecture = match architecture.as_str() {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            "" => self.architecture(),
            other => other,
        };
        (os.is_empty() || os.eq_ignore_ascii_case("linux")) && architecture == self.architecture()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}

/// A pointer to a blob or document.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    platform: Option<DescribedPlatform>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Deserialize)]
struct DescribedPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// An index or a manifest.
#[derive(Debug)]
pub(crate) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

/// One image: its configuration and its layers, oldest first.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<LayerDescriptor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerDescriptor {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) compression: Compression,
}

impl Document {
    /// Reads a document. `announced` is the media type that came beside it, if one did; what the document says of
    /// itself must agree, so that the same bytes are never read in two ways.
    pub(crate) fn parse(what: &str, announced: Option<&str>, bytes: &[u8]) -> Result<Self, OciError> {
        let unsupported = |media_type: &str| OciError::MediaType {
            what: what.to_owned(),
            media_type: shown(media_type),
        };
        // Registries of old add a character set.
        let announced = announced.map(|text| text.split(';').next().unwrap_or_default().trim());
        // JSON as such says nothing of what it holds.
        let announced = announced.filter(|text| *text != "application/json" && !text.is_empty());
        if let Some(announced) = announced
            && ![INDEXES, MANIFESTS].concat().contains(&announced)
        {
            return Err(unsupported(announced));
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(|source| OciError::BadDocument {
            what: what.to_owned(),
            source,
        })?;
        if raw.schema_version != 2 {
            return Err(unsupported(&format!("schema {}", raw.schema_version)));
        }
        let stated = match (raw.media_type.as_deref(), announced) {
            (Some(own), Some(announced)) if own != announced => {
                return Err(unsupported(&format!("{announced}, but {own} inside")));
            }
            (own, announced) => own.or(announced),
        };
        match (raw.manifests, raw.config, raw.layers) {
            (Some(manifests), None, None) if stated.is_none_or(|stated| INDEXES.contains(&stated)) => {
                Ok(Self::Index(manifests))
            }
            (None, Some(config), Some(layers)) if stated.is_none_or(|stated| MANIFESTS.contains(&stated)) => {
                Manifest::new(config, &layers).map(Self::Manifest)
            }
            _ => Err(unsupported(stated.unwrap_or("(none)"))),
        }
    }
}

impl Manifest {
    fn new(config: Descriptor, layers: &[Descriptor]) -> Result<Self, OciError> {
        if !CONFIGS.contains(&config.media_type.as_str()) {
            return Err(OciError::MediaType {
                what: format!("configuration {}", config.digest),
                media_type: shown(&config.media_type),
            });
        }
        if layers.len() > LAYERS_MAX {
            return Err(OciError::TooMuch {
                what: "layers",
                limit: LAYERS_MAX as u64,
            });
        }
        let layers = layers.iter().map(|layer| {
            let compression = match layer.media_type.as_str() {
                "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
                    Compression::Plain
                }
                "application/vnd.oci.image.layer.v1.tar+gzip"
                | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Compression::Gzip,
                "application/vnd.oci.image.layer.v1.tar+zstd"
                | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Compression::Zstd,
                other => {
                    return Err(OciError::MediaType {
                        what: format!("layer {}", layer.digest),
                        media_type: shown(other),
                    });
                }
            };
            Ok(LayerDescriptor {
                digest: layer.digest,
                size: layer.size,
                compression,
            })
        });
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(Self { config, layers })
    }
}

/// The image of an index for a platform; the first where there are several, as every tool does it.
pub(crate) fn choose<'d>(
    image: &str,
    index: &'d [Descriptor],
    wanted: Platform,
) -> Result<&'d Descriptor, OciError> {
    let fits = |found: &&Descriptor| match &found.platform {
        Some(platform) if !platform.os.is_empty() && !platform.architecture.is_empty() => {
            wanted.is(&platform.os, &platform.architecture)
        }
        // A layout's index may leave it out; the image's configuration is asked later.
        _ => index.len() == 1,
    };
    index.iter().find(fits).ok_or_else(|| OciError::NoPlatform {
        image: image.to_owned(),
        wanted: wanted.to_string(),
        available: available(index),
    })
}

fn available(index: &[Descriptor]) -> String {
    let mut names: Vec<String> = index
        .iter()
        .filter_map(|found| found.platform.as_ref())
        // Attestations that builders put beside images.
        .filter(|platform| platform.os != "unknown")
        .map(|platform| {
            let variant = platform.variant.as_ref().map(|variant| format!("/{variant}"));
            let name = format!(
                "{}/{}{}",
                platform.os,
                platform.architecture,
                variant.unwrap_or_default()
            );
            shown(&name)
        })
        .collect();
    names.sort();
    names.dedup();
    names.truncate(20);
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// Text from outside as it may be shown.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn descriptor(media_type: &str, platform: &str) -> String {
        let digest = Digest::of(b"x");
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":1{platform}}}"#)
    }

    fn manifest(layer: &str) -> String {
        let config = descriptor(CONFIGS[0], "");
        let layer = descriptor(layer, "");
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#)
    }

    fn platform(os: &str, architecture: &str) -> String {
        let platform = format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#);
        descriptor(MANIFESTS[0], &platform)
    }

    #[test]
    fn the_compression_of_a_layer_is_its_media_types() {
        for (media_type, compression) in [
            ("application/vnd.oci.image.layer.v1.tar", Compression::Plain),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
            (
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                Compression::Gzip,
            ),
        ] {
            let text = manifest(media_type);
            let Document::Manifest(manifest) = Document::parse("x", None, text.as_bytes()).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(manifest.layers[0].compression, compression);
        }
        for refused in [
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            "",
        ] {
            let error = Document::parse("x", None, manifest(refused).as_bytes()).unwrap_err();
            assert!(matches!(error, OciError::MediaType { .. }), "{error}");
        }
    }

    #[test]
    fn a_document_is_read_in_one_way_only() {
        let image = manifest("application/vnd.oci.image.layer.v1.tar");
        assert!(Document::parse("x", Some(MANIFESTS[0]), image.as_bytes()).is_ok());
        assert!(Document::parse("x", Some("application/json; charset=utf-8"), image.as_bytes()).is_ok());
        let both = image.replace("\"config\"", "\"manifests\":[],\"config\"");
        let inside = image.replacen(
            "\"schemaVersion\":2",
            &format!("\"schemaVersion\":2,\"mediaType\":\"{}\"", MANIFESTS[1]),
            1,
        );
        for (announced, text) in [
            (Some(INDEXES[0]), &image),
            (Some("text/html"), &image),
            (
                Some("application/vnd.docker.distribution.manifest.v1+prettyjws"),
                &image,
            ),
            (Some(MANIFESTS[0]), &inside),
            (None, &both),
            (None, &image.replace("\"schemaVersion\":2", "\"schemaVersion\":1")),
        ] {
            let error = Document::parse("x", announced, text.as_bytes()).unwrap_err();
            assert!(matches!(error, OciError::MediaType { .. }), "{error}");
        }
    }

    #[test]
    fn a_missing_platform_says_which_exist() {
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{}]}}"#,
            platform("linux", "s390x"),
            platform("windows", "amd64"),
            platform("unknown", "unknown"),
        );
        let Document::Index(index) = Document::parse("x", None, index.as_bytes()).unwrap() else {
            panic!("an index");
        };
        let error = choose("x:1", &index, Platform::Amd64).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x:1 has no image for linux/amd64; it has linux/s390x, windows/amd64"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_document_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::parse("x", None, &bytes);
        }
    }
}
