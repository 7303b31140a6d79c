//! What overlayfs would take for notes of its own: an image is the lowest layer of each VM's root.
//!
//! An image that was made of such a layer (by copying `/var/lib/docker`, or by a builder that packs an upper layer as it
//! is) has them among its files. In a guest they would hide files, lead to others, or be names of nothing that can be
//! neither looked at nor removed (Linux, `Documentation/filesystems/overlayfs.rst`, "whiteouts and opaque directories").

use super::format::mode;
use super::tree::{Body, Inode};

/// Attributes that a mount with rights reads, as a guest's root is one. Those of mounts without rights (`user.overlay.`)
/// mean nothing to it, and are kept for the stores of container tools that have them.
const ATTRIBUTES: &[u8] = b"trusted.overlay.";

/// Whether overlayfs acts by an attribute.
pub(super) fn acts_by(attribute: &[u8]) -> bool {
    attribute.starts_with(ATTRIBUTES)
}

/// Whether overlayfs takes something for the mark of a name that was removed: a character device 0:0.
pub(super) fn is_whiteout(inode: &Inode) -> bool {
    inode.mode & mode::TYPE == mode::CHARACTER && matches!(inode.body, Body::Device { number: 0 })
}
