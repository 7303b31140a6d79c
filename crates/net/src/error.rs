//! What can go wrong with a VM's network.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use process::{Ending, ProcessError};

/// One variant for each step that can fail.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The system gave no socket pair.
    #[error("cannot make the sockets between the VMM and passt")]
    Socket(#[source] io::Error),
    /// The host's own addresses cannot be looked up.
    #[error("cannot find out which networks this host is on")]
    Host(#[source] io::Error),
    /// It cannot be noted whether the guest has IPv6.
    #[error("cannot note in the VM's folder whether its network has IPv6")]
    Plan(#[source] io::Error),
    /// The list of the host's resolvers could not be handed to the relay.
    #[error("cannot write the list of this host's resolvers")]
    Resolvers(#[source] io::Error),
    /// The system gave no memory for the messages of a start.
    #[error("cannot keep the messages of the network's start")]
    Messages(#[source] io::Error),
    /// passt could not be started.
    #[error("cannot start {passt}")]
    Start {
        /// The program.
        passt: PathBuf,
        /// What the start said.
        #[source]
        source: ProcessError,
    },
    /// passt ended before it answered.
    #[error("passt ended at its start ({ending}): {log}")]
    PasstDied {
        /// How it ended.
        ending: Ending,
        /// The last that it said.
        log: String,
    },
    /// passt runs but does not answer.
    #[error("passt did not answer within {waited:?}: {log}")]
    PasstSilent {
        /// How long it had.
        waited: Duration,
        /// The last that it said.
        log: String,
    },
    /// The program that filter and relay are cannot be opened.
    #[error("cannot open the program that filters frames and relays datagrams")]
    Program(#[source] io::Error),
    /// The frame filter could not be started.
    #[error("cannot start the frame filter before passt")]
    FilterStart(#[source] ProcessError),
    /// The relay could not be started.
    #[error("cannot start the relay of datagrams")]
    RelayStart(#[source] ProcessError),
    /// The frame filter ended before anything answered through it.
    #[error("the frame filter before passt ended at its start ({ending}): {log}")]
    FilterDied {
        /// How it ended.
        ending: Ending,
        /// The last that it said.
        log: String,
    },
    /// The relay ended before it was ready.
    #[error("the relay of datagrams ended at its start ({ending}): {log}")]
    RelayDied {
        /// How it ended.
        ending: Ending,
        /// The last that it said.
        log: String,
    },
    /// A recorded process could not be ended.
    #[error("cannot end the network process that {record} tells of")]
    Stop {
        /// The record.
        record: PathBuf,
        /// What the attempt said.
        #[source]
        source: ProcessError,
    },
}
