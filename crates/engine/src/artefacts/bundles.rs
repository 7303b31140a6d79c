//! What bundles hold becomes kernels and images, if it is what the catalog says it is.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use catalog::bundle::{Bundle, BundleError, BundleRef, Description, Manifest, RootFsKind};
use catalog::{ArtefactName, CatalogError, ImageEntry, KernelEntry};
use rootfs::kernel::import_members;
use rootfs::probe::{FileSystem, probe};
use serde_json::{Value, json};

use super::catalog_sources::{failed, told};
use super::container::megabytes;
use super::sources::{Made, SourceError};

/// A bundle that cannot be used.
pub(super) fn broken(bundle: &BundleRef, source: BundleError) -> SourceError {
    if matches!(source, BundleError::Cancelled) {
        return told(CatalogError::Cancelled);
    }
    told(CatalogError::Published {
        what: "bundle",
        url: bundle.url.clone(),
        source,
    })
}

/// A few words for a person.
pub(super) fn fetched(bytes: u64) -> String {
    format!("fetched, {}", megabytes(bytes))
}

pub(super) fn image_of_bundle<R: Read>(
    entry: &ImageEntry,
    bundle: Bundle<R>,
    reference: &BundleRef,
    out: &mut File,
) -> Result<Made, SourceError> {
    let broken = |error| broken(reference, error);
    let Manifest::Image(image) = bundle.manifest().clone() else {
        return Err(broken(mismatch("kind", "an image", "a kernel")));
    };
    check(&entry.name, entry.arch.as_str(), &image.about).map_err(broken)?;
    if image.kernel != entry.kernel.as_str() {
        return Err(broken(mismatch("kernel", entry.kernel.as_str(), &image.kernel)));
    }
    let config = image.config.map(|config| Value::Object(config).to_string());
    if let Some(config) = &config {
        check_config(config).map_err(broken)?;
    }
    bundle.write_rootfs(&image.rootfs, out).map_err(broken)?;
    let file_system = match image.rootfs.kind {
        RootFsKind::Erofs => FileSystem::Erofs,
        // As with one that is registered: whole, and unmounted cleanly.
        RootFsKind::Ext4 => probe(out).map_err(failed)?,
    };
    Ok(Made {
        digest: image.rootfs.sha256,
        file_system,
        bytes: image.rootfs.bytes,
        entries: image.rootfs.entries,
        config,
        source: source(reference, &entry.distro),
        note: fetched(reference.size),
        ..Made::default()
    })
}

pub(super) fn kernel_of_bundle<R: Read>(
    entry: &KernelEntry,
    mut bundle: Bundle<R>,
    reference: &BundleRef,
    folder: &Path,
) -> Result<Made, SourceError> {
    let broken = |error| broken(reference, error);
    let Manifest::Kernel(kernel) = bundle.manifest() else {
        return Err(broken(mismatch("kind", "a kernel", "an image")));
    };
    check(&entry.name, entry.arch.as_str(), &kernel.about).map_err(broken)?;
    let imported = import_members(bundle.members(), folder);
    let imported = match imported {
        Ok(imported) => imported,
        Err(error) => return Err(bundle.cause().map_or_else(|| failed(error), broken)),
    };
    bundle.finish().map_err(broken)?;
    Ok(Made {
        version: imported.version,
        bytes: imported.bytes,
        source: source(reference, &entry.distro),
        note: fetched(reference.size),
        ..Made::default()
    })
}

fn source(bundle: &BundleRef, distro: &str) -> String {
    json!({"from": "bundle", "distro": distro, "url": bundle.url, "sha256": bundle.sha256}).to_string()
}

fn check(name: &ArtefactName, arch: &str, about: &Description) -> Result<(), BundleError> {
    if about.name != name.as_str() {
        return Err(mismatch("name", name.as_str(), &about.name));
    }
    if about.arch != arch {
        return Err(mismatch("architecture", arch, &about.arch));
    }
    Ok(())
}

/// What a bundle says of running its image is held to what the image would be if it came from a registry.
fn check_config(config: &str) -> Result<(), BundleError> {
    let wrong = |message: String| BundleError::Document {
        document: "manifest.json",
        message: format!("config: {message}"),
    };
    let plain = |error: serde_json::Error| {
        let message = error.to_string();
        message.chars().take(300).flat_map(char::escape_default).collect()
    };
    let config: oci::ImageConfig = serde_json::from_str(config).map_err(|error| wrong(plain(error)))?;
    config.check().map_err(|error| wrong(error.to_string()))
}

fn mismatch(what: &'static str, expected: &str, found: &str) -> BundleError {
    BundleError::Mismatch {
        what,
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}
