//! `GET` and `POST /v1/ssh`: the guest's own sshd, on a stream instead of a port.
//!
//! The host gives both keys with each connection: whom to let in, and as what the guest shows itself. So nothing of
//! ssh is kept in the guest, no file of the image is touched, and the host knows what it will see.

use serde::{Deserialize, Serialize};

use crate::text;

/// What `POST /v1/ssh` upgrades to: the bytes of the SSH protocol.
pub const UPGRADE_SSH: &str = "banger-ssh";

/// The same on the agent's API, [`crate::forward::Framed`].
pub const UPGRADE_SSH_FRAMED: &str = "banger-ssh-framed";

/// Answer of `GET /v1/ssh`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshServer {
    /// Path of the image's sshd; none if it has none.
    #[serde(default, deserialize_with = "text::path")]
    pub sshd: Option<String>,
}

/// Body of `POST /v1/ssh`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// Public keys that may log in as any user of the guest, a line each.
    pub authorized_keys: Vec<String>,
    /// The guest's private host key in OpenSSH's own format.
    pub host_key: String,
}

impl std::fmt::Debug for Ssh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ssh")
            .field("authorized_keys", &self.authorized_keys)
            .finish_non_exhaustive()
    }
}
