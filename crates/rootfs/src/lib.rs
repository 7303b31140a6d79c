//! EROFS images, writable layers, initramfs and kernel unpacking.
//!
//! Everything here turns streams and files into the artefacts that a VM boots from, without root and without
//! unpacking a tree. It knows nothing of registries, catalogs or VMs.

pub mod erofs;
pub mod initramfs;
pub mod kernel;
pub mod layer;
pub mod probe;
pub mod qcow2;
pub mod seed;
mod sparse_copy;
pub mod written;
