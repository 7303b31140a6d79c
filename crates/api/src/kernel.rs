//! Kernels: what VMs boot.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a kernel came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KernelKind {
    /// By its name in the catalog.
    Catalog,
    /// From a folder of the user's.
    Imported,
}

impl fmt::Display for KernelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Catalog => "catalog",
            Self::Imported => "imported",
        })
    }
}

/// A kernel that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kernel {
    /// Name and version, joined with `-`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its release, as `uname -r` says it.
    pub version: String,
    /// How it came here.
    pub kind: KernelKind,
    /// The distribution that it is from, if that is known.
    pub distro: Option<String>,
    /// What it runs on, by Debian's name.
    pub arch: String,
    /// What its files take on the host, in bytes.
    pub bytes: u64,
    /// Whether it has an initrd of its own.
    pub initrd: bool,
    /// Names of the images that boot it.
    pub images: Vec<String>,
    /// Names of the VMs that boot it.
    pub vms: Vec<String>,
    /// When it was fetched or imported.
    pub created_at: Timestamp,
}

/// A kernel that the catalog has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CatalogKernel {
    /// Its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The distribution that it is from.
    pub distro: String,
    /// What it runs on, by Debian's name.
    pub arch: String,
    /// One line.
    pub description: String,
    /// The version that is here, if one is.
    pub here: Option<String>,
}

/// Body of `POST /v1/kernels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PullKernel {
    /// A name of the catalog.
    pub name: String,
    /// Fetch it also where it is here.
    #[serde(default)]
    pub force: bool,
}

/// Query of `PUT /v1/kernels/{name}`. The body is a tar: `vmlinux`, an ELF file or a bzImage; `initrd.img`, if it has
/// one of its own; in `modules/` what `/lib/modules/VERSION` holds, of it the modules and `modules.order`,
/// `modules.builtin`, `modules.builtin.modinfo`. Any other member is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportKernel {
    /// The distribution that it is from, 1 to 63 of `[a-z0-9-]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distro: Option<String>,
    /// It comes with the image that has its name, and goes with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub of_image: bool,
}
