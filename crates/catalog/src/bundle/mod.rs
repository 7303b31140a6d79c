//! Bundles: the form in which images and kernels travel. One zstd-compressed tar of exactly these members, in this order:
//!
//! ```text
//!   image    manifest.json  rootfs.erofs
//!   kernel   manifest.json  vmlinux  [initrd.img]  [modules/…]
//! ```
//!
//! A bundle is read as a stream, once, and held against the size and the sha256 that its catalog tells. Whatever it says
//! of itself is bounded and checked: whoever made it may wish us ill.

mod checked;
mod entry;
mod error;
mod manifest;
mod read;
mod remote;
mod write;

pub use entry::Entry;
pub use error::BundleError;
pub use manifest::{
    BundleImage, BundleKernel, Description, LARGEST_ROOTFS, MANIFEST, Manifest, RootFs, RootFsKind,
    SCHEMA_VERSION,
};
pub use read::Bundle;
pub use remote::{BundleRef, RemoteCatalog, RemoteImage, RemoteKernel};
pub(crate) use remote::{LARGEST_CATALOG, resolve};
pub use write::{Written, file_name, write_image, write_kernel};

/// A sha256 as 64 lower-case hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text is such a sha256.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
