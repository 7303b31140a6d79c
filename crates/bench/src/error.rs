//! What can keep a measurement from being made.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// A failure, one variant a step.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file or folder of ours could not be used.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// A verb.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot run {program}: {source}")]
    Run {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program that should succeed did not.
    #[error("{program} ended with {status}: {stderr}")]
    Failed {
        /// Its name and arguments.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// A program did not end in time and was killed.
    #[error("{program} did not end within {seconds} s")]
    Stuck {
        /// Its name.
        program: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Something said by banger or the kernel is not in the form that this program reads.
    #[error("{0}")]
    Unexpected(String),
    /// A process could not be looked at.
    #[error("cannot look at a process: {0}")]
    Process(#[from] procfs::ProcError),
    /// The floor's initramfs could not be made.
    #[error("cannot make the floor's initramfs: {0}")]
    Initramfs(String),
}

impl BenchError {
    /// For `map_err` on what touches `path`.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
