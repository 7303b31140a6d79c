//! The client's calls for ssh.

use super::{Client, ClientError, ExecStream, Headers, vm_path};
use crate::{SshAccess, SshFiles};

const UPGRADE: Headers = &[("connection", "upgrade"), ("upgrade", guest::UPGRADE_SSH)];

impl Client {
    /// `GET /v1/ssh`: makes the key if there is none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ssh_files(&self) -> Result<SshFiles, ClientError> {
        self.get("/v1/ssh").await
    }

    /// `GET /v1/vms/{ref}/ssh`: whether and how one gets in.
    ///
    /// # Errors
    /// [`ClientError`]; `command_not_found` if the VM has no sshd.
    pub async fn ssh_access(&self, vm: &str) -> Result<SshAccess, ClientError> {
        self.get(&format!("{}/ssh", vm_path(vm))).await
    }

    /// `POST /v1/vms/{ref}/ssh`: a stream to the VM's sshd, each half closed on its own.
    ///
    /// # Errors
    /// As [`Client::ssh_access`].
    pub async fn ssh(&self, vm: &str) -> Result<impl ExecStream + use<>, ClientError> {
        // There is nothing to be said.
        self.upgrade(vm, "ssh", &(), UPGRADE).await
    }
}
