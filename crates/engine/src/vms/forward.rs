//! Connections to ports that a guest can reach.

use super::{AGENT, Vms};
use crate::EngineError;

impl Vms {
    /// Connects to a port that a running VM's guest can reach.
    ///
    /// # Errors
    /// The VM does not run, its agent does not answer, or nothing does at that port.
    pub async fn forward(
        &self,
        reference: &str,
        forward: &guest::Forward,
    ) -> Result<guest::AgentStream, EngineError> {
        let (_, agent) = self.agent(reference, "connect to a port of", AGENT).await?;
        agent.forward(forward).await.map_err(EngineError::Agent)
    }
}
