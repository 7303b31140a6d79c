//! What can go wrong between host and agent.

use std::io;
use std::path::PathBuf;

use crate::Problem;

/// Why a request to the agent failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nobody listens where the machine should: it is not running.
    #[error("the machine's channel {} cannot be reached", socket.display())]
    Unreachable {
        /// The channel's socket.
        socket: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The channel failed.
    #[error("the channel to the guest failed")]
    Io(#[from] io::Error),
    /// The agent refused the request, and says why.
    #[error("{0}")]
    Refused(Problem),
    /// What came back is not what an agent says.
    #[error("the agent does not keep to the protocol: {0}")]
    Protocol(String),
    /// The link to the agent is lost: the machine ended, or another session has taken the channel.
    #[error("the link to the guest is lost")]
    Closed,
}
