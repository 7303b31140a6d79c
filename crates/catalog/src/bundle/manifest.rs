//! `manifest.json`: what a bundle says it is.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use super::{BundleError, is_sha256};
use crate::names::ArtefactName;

/// The first member.
pub const MANIFEST: &str = "manifest.json";
/// The version of manifests and catalogs that is written, and the latest that is read.
pub const SCHEMA_VERSION: u32 = 1;
/// Most bytes of a root file system.
pub const LARGEST_ROOTFS: u64 = 64 << 30;
/// Most bytes of a manifest.
pub(crate) const LARGEST_MANIFEST: u64 = 1 << 20;
const LONGEST_TEXT: usize = 200;

/// What a bundle says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Manifest {
    /// An image.
    Image(BundleImage),
    /// A kernel.
    Kernel(BundleKernel),
}

/// What images and kernels say alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The distribution that it is from; empty if that is unknown.
    #[serde(default, deserialize_with = "text")]
    pub distro: String,
    /// What it runs on, by Debian's name.
    #[serde(deserialize_with = "text")]
    pub arch: String,
    /// One line.
    #[serde(default, deserialize_with = "text")]
    pub description: String,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleImage {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What it is.
    #[serde(flatten)]
    pub about: Description,
    /// Name of the kernel that boots it.
    #[serde(deserialize_with = "name")]
    pub kernel: String,
    /// Its root file system.
    pub rootfs: RootFs,
    /// What it says about running it, as the engine keeps it; any JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What the root file system of an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootFsKind {
    /// What banger itself writes.
    #[default]
    Erofs,
    /// Of an image that was a root disk of the user's.
    Ext4,
}

impl RootFsKind {
    /// The member that holds it.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Erofs => "rootfs.erofs",
            Self::Ext4 => "rootfs.ext4",
        }
    }

    /// Bundles of before there was another kind do not tell it.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// The root file system of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootFs {
    /// What it is; an EROFS if that is not said.
    #[serde(default, rename = "file_system", skip_serializing_if = "RootFsKind::is_usual")]
    pub kind: RootFsKind,
    /// Its size in bytes.
    #[serde(deserialize_with = "rootfs_size")]
    pub bytes: u64,
    /// Its sha256, 64 lower-case hexadecimal digits.
    #[serde(deserialize_with = "sha256")]
    pub sha256: String,
    /// Files, folders and links in it.
    pub entries: u64,
}

/// A kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleKernel {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What it is.
    #[serde(flatten)]
    pub about: Description,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`BundleError::Future`] and [`BundleError::Document`].
    pub fn parse(json: &[u8]) -> Result<Self, BundleError> {
        parse(MANIFEST, json)
    }

    /// What images and kernels say alike.
    #[must_use]
    pub fn about(&self) -> &Description {
        match self {
            Self::Image(image) => &image.about,
            Self::Kernel(kernel) => &kernel.about,
        }
    }
}

/// Reads a document whose version comes first: of a later one nothing else can be expected to hold.
pub(crate) fn parse<T: DeserializeOwned>(document: &'static str, json: &[u8]) -> Result<T, BundleError> {
    #[derive(Deserialize)]
    struct Version {
        schema_version: u64,
    }
    let version: Version =
        serde_json::from_slice(json).map_err(|error| wrong(document, &error.to_string()))?;
    if version.schema_version != u64::from(SCHEMA_VERSION) {
        return Err(BundleError::Future {
            found: version.schema_version,
            known: SCHEMA_VERSION,
        });
    }
    self::document(document, json)
}

/// Reads a document, which is one JSON value and nothing else.
pub(crate) fn document<T: DeserializeOwned>(document: &'static str, json: &[u8]) -> Result<T, BundleError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let key = error.path().to_string();
        wrong(document, &format!("{key}: {}", error.inner()))
    })?;
    deserializer
        .end()
        .map_err(|error| wrong(document, &error.to_string()))?;
    Ok(parsed)
}

fn wrong(document: &'static str, message: &str) -> BundleError {
    let message = message.chars().take(300);
    BundleError::Document {
        document,
        message: message
            .map(|letter| if letter.is_control() { '?' } else { letter })
            .collect(),
    }
}

pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    ArtefactName::deserialize(deserializer).map(|name| name.as_str().to_owned())
}

/// One line that can be shown.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        return Err(D::Error::custom(format!(
            "it is not one line of at most {LONGEST_TEXT} bytes"
        )));
    }
    Ok(text)
}

pub(crate) fn sha256<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if !is_sha256(&text) {
        return Err(D::Error::custom("it is not 64 lower-case hexadecimal digits"));
    }
    Ok(text)
}

fn rootfs_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let bytes = u64::deserialize(deserializer)?;
    if bytes == 0 || bytes > LARGEST_ROOTFS {
        return Err(D::Error::custom(format!("it is not 1 to {LARGEST_ROOTFS}")));
    }
    Ok(bytes)
}
