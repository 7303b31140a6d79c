//! Ports of a guest: connections to them, and which there are.

use api::{GuestPort, GuestPorts};

use super::{AGENT, Vms, publish};
use crate::EngineError;

impl Vms {
    /// Connects to a port that a running VM's guest can reach.
    ///
    /// # Errors
    /// The VM does not run, its agent does not answer, nothing does at that port, or it has too many connections.
    pub async fn forward(
        &self,
        reference: &str,
        forward: &guest::Forward,
    ) -> Result<guest::AgentStream, EngineError> {
        let (row, agent) = self.agent(reference, "connect to a port of", AGENT).await?;
        let slots = self.shared.slots.for_vm(&row.id, &row.name);
        let slot = slots.take().ok_or_else(|| EngineError::PortUnavailable {
            message: format!(
                "too many connections to ports of VMs: `{}` has at most {}",
                row.name,
                slots.most()
            ),
            hint: Some("close some of them and try again".into()),
        })?;
        let stream = agent.forward(forward).await.map_err(EngineError::Agent)?;
        Ok(stream.holding(slot))
    }

    /// What listens in a running VM's guest, as the guest tells it.
    ///
    /// # Errors
    /// The VM does not run, or its agent does not answer.
    pub async fn ports(&self, reference: &str) -> Result<GuestPorts, EngineError> {
        let (row, agent) = self.agent(reference, "list the ports of", AGENT).await?;
        let told = tokio::time::timeout(AGENT, agent.ports()).await;
        let told = told.map_err(|_| EngineError::AgentSilent {
            waited: AGENT,
            console: None,
        })?;
        let told = told.map_err(EngineError::Agent)?;
        let published = publish::of_row(&row.publish);
        let ports = told
            .listeners
            .into_iter()
            .map(|listener| GuestPort::of(listener, &published));
        Ok(GuestPorts {
            ports: ports.collect(),
            more: told.more,
        })
    }
}
