//! Packages from a Debian archive, fetched and verified by apt itself.
//!
//! apt works on a root of its own in a work folder: the host's lists, cache and state are neither read nor changed. Of
//! the host's configuration it takes the sources, the keys and what decides how mirrors are reached.

mod complaint;
mod entry;
mod host_files;
mod kernel;
mod record;
mod root;
pub(crate) mod sources;
mod status;

use std::path::PathBuf;

pub(crate) use complaint::{Context, classify, last_error};
pub(crate) use host_files::HostFiles;
pub use kernel::{KernelPackage, fetch_kernel};
pub(crate) use root::{AptRoot, Lists, host_configuration};

/// Where packages come from, if not from where the host's apt gets them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipeSettings {
    /// Base address of a Debian mirror; the host's apt sources if `None`. It is the only source then: a mirror that
    /// shall give security updates has them in the release itself.
    pub mirror: Option<String>,
    /// Keys that the releases are signed with; those that the host uses for its sources, or Debian's for a mirror, if
    /// `None`.
    pub keyring: Option<PathBuf>,
}
