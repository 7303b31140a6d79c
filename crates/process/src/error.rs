//! What can go wrong with a process.

use std::io;
use std::path::PathBuf;

use crate::Refusal;

/// One variant for each step that can fail.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A program, argument or folder holds a zero byte.
    #[error("`{text}` holds a zero byte")]
    ZeroByte {
        /// The text, zero bytes replaced.
        text: String,
    },
    /// There is no executable file of that name.
    #[error("cannot execute {program}")]
    Execute {
        /// What was to be executed.
        program: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The program could not be confined.
    #[error("cannot confine {program}")]
    Confine {
        /// What was to be executed.
        program: PathBuf,
        /// What the host did not let be done.
        #[source]
        source: Refusal,
    },
    /// The program could not be given a network card.
    #[error("cannot give {program} a network card")]
    Wire {
        /// What was to be executed.
        program: PathBuf,
        /// What the host did not let be done.
        #[source]
        source: Refusal,
    },
    /// The program could not be put under its limits, or its filter of system calls.
    #[error("cannot restrict {program}")]
    Restrict {
        /// What was to be executed.
        program: PathBuf,
        /// What the host did not let be done.
        #[source]
        source: Refusal,
    },
    /// The system gave no new process.
    #[error("cannot start a process for {program}")]
    Fork {
        /// What was to be executed.
        program: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The record could not be written; the program was not started.
    #[error("cannot write the process record {path}")]
    Record {
        /// The record's file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The record is there but cannot be understood.
    #[error("the process record {path} is damaged: {reason}")]
    Damaged {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A signal could not be sent.
    #[error("cannot signal process {pid}")]
    Signal {
        /// The process.
        pid: u32,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The process could not be watched.
    #[error("cannot watch process {pid}")]
    Watch {
        /// The process.
        pid: u32,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}
