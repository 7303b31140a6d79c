//! Ssh into a running VM: what the client needs to know, and the stream to the guest's sshd.

use std::sync::Arc;

use guest::{AgentError, AgentStream, ProblemCode};
use store::VmRow;

use super::{AGENT, Vms};
use crate::EngineError;
use crate::ssh::Keys;

/// What is asked for, as the complaint about a VM that does not run says it.
const VERB: &str = "use ssh with";

impl Vms {
    /// Where the client's key and its list of known VMs lie; the key is made if there is none.
    ///
    /// # Errors
    /// They cannot be written or read.
    pub async fn ssh_files(&self) -> Result<api::SshFiles, EngineError> {
        let keys = Arc::clone(&self.shared.ssh);
        blocking(move || keys.files()).await
    }

    /// What a client needs for [`Vms::ssh`] to work.
    ///
    /// # Errors
    /// The VM does not run, or has no sshd; the keys cannot be written or read.
    pub async fn ssh_access(&self, reference: &str) -> Result<api::SshAccess, EngineError> {
        let (row, agent) = self.agent(reference, VERB, AGENT).await?;
        let server = agent.ssh_server().await.map_err(|error| failed(&row, error))?;
        if server.sshd.is_none() {
            return Err(EngineError::NoSshd { name: row.name });
        }
        let keys = self.ssh_keys(&row).await?;
        Ok(api::SshAccess {
            name: row.name,
            host_key: keys.host_public,
            files: self.ssh_files().await?,
        })
    }

    /// A stream to the guest's sshd, with the SSH protocol on it.
    ///
    /// # Errors
    /// The VM does not run, or has no sshd, or it does not start.
    pub async fn ssh(&self, reference: &str) -> Result<AgentStream, EngineError> {
        let (row, agent) = self.agent(reference, VERB, AGENT).await?;
        let keys = self.ssh_keys(&row).await?;
        let ssh = guest::Ssh {
            authorized_keys: vec![keys.client],
            host_key: keys.host_private,
        };
        agent.ssh(&ssh).await.map_err(|error| failed(&row, error))
    }

    async fn ssh_keys(&self, row: &VmRow) -> Result<Keys, EngineError> {
        let (keys, name) = (Arc::clone(&self.shared.ssh), row.name.clone());
        let folder = self.shared.paths.vm(&row.id);
        blocking(move || keys.of_vm(&name, &folder)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| EngineError::Internal(format!("ssh keys: {panic}")))?
}

fn failed(row: &VmRow, error: AgentError) -> EngineError {
    let name = row.name.clone();
    match &error {
        AgentError::Refused(problem) if problem.code == ProblemCode::CommandNotFound => {
            EngineError::NoSshd { name }
        }
        // The route is unknown to an agent from before there was ssh.
        AgentError::Refused(problem) if problem.code == ProblemCode::NotFound => {
            EngineError::OldAgent { name }
        }
        _ => EngineError::Agent(error),
    }
}
