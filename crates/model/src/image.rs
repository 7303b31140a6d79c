//! Images.

use serde::{Deserialize, Serialize};

/// How an image came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ImageKind {
    /// By its name in the catalog.
    Catalog,
    /// From a registry, a layout or an archive of container images.
    Oci,
    /// Its root file system is a file of the user's, which stays where it is.
    Registered,
    /// It was registered, and banger has a copy now.
    Promoted,
    /// By a recipe of the user's.
    Built,
}

/// How a VM comes to its root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BootWay {
    /// The image stays read-only, with a disk of the VM's over it.
    #[default]
    Overlay,
    /// The initrd of its kernel mounts a copy of the image.
    Direct,
}

crate::words!(ImageKind:
    Catalog = "catalog",
    Oci = "oci",
    Registered = "registered",
    Promoted = "promoted",
    Built = "built",
);
crate::words!(BootWay: Overlay = "overlay", Direct = "direct");
