//! Files of a running VM, in and out as tar streams. The engine passes them on; it never looks inside.

use guest::files::{FileStream, ReadFiles, TarBody, WriteFiles, Written};
use guest::{AgentError, ProblemCode};

use super::{AGENT, Vms};
use crate::EngineError;

impl Vms {
    /// Reads a file or a tree of a running VM.
    ///
    /// # Errors
    /// The VM does not run, its agent does not answer, or there is no such file.
    pub async fn read_files(&self, reference: &str, query: &ReadFiles) -> Result<FileStream, EngineError> {
        let (row, agent) = self.agent(reference, "copy files from", AGENT).await?;
        agent
            .read_files(query)
            .await
            .map_err(|error| refused(row.name, error))
    }

    /// Writes files into a running VM.
    ///
    /// # Errors
    /// The VM does not run, its agent does not answer, the files cannot be written, or the stream is broken.
    pub async fn write_files(
        &self,
        reference: &str,
        query: &WriteFiles,
        tar: TarBody,
    ) -> Result<Written, EngineError> {
        let (row, agent) = self.agent(reference, "copy files to", AGENT).await?;
        agent
            .write_files(query, tar)
            .await
            .map_err(|error| refused(row.name, error))
    }
}

fn refused(name: String, error: AgentError) -> EngineError {
    match error {
        AgentError::Refused(problem) if problem.code == ProblemCode::Files => EngineError::GuestFiles {
            name,
            why: problem.message,
        },
        error => EngineError::Agent(error),
    }
}
