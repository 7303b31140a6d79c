//! What an ssh client needs to know to get into VMs.

use serde::{Deserialize, Serialize};

/// Files of the daemon's that an ssh client is pointed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SshFiles {
    /// The private key to log in with.
    pub identity_file: String,
    /// Host keys of the VMs, each as `NAME.vm`.
    pub known_hosts: String,
}

/// What it takes to log in to a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SshAccess {
    /// The VM's name.
    pub name: String,
    /// Its public host key, which is among the known hosts by now.
    pub host_key: String,
    /// The files.
    #[serde(flatten)]
    pub files: SshFiles,
}
