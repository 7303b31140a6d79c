//! `banger daemon …`: its verbs and their flags.

use clap::{Args, Subcommand};

use super::JsonArgs;

/// `banger daemon`.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  banger daemon status                    is it running, and where
  banger daemon stop                      end it; VMs go on
  curl --unix-socket \"$(banger daemon socket)\" http://banger/v1/vms"
)]
pub struct DaemonGroup {
    /// What to do.
    #[command(subcommand)]
    pub command: DaemonCommand,
}

/// The verbs of `banger daemon`.
#[derive(Debug, Subcommand)]
pub enum DaemonCommand {
    /// Start the daemon, unless it is running.
    ///
    /// Returns when it answers. Every command that needs the daemon does this by itself; it ends by itself when no VM
    /// has run for a while.
    #[command(after_help = "\
Examples:
  banger daemon start")]
    Start,
    /// End the daemon and wait until it is gone; VMs go on.
    ///
    /// What is being started or built at this moment is undone by the next daemon. The next command that needs a
    /// daemon starts one, which takes over the VMs that run.
    #[command(after_help = "\
Examples:
  banger daemon stop
  banger daemon stop && banger daemon start     after an upgrade")]
    Stop,
    /// Tell whether the daemon is running, its version and its socket.
    ///
    /// Starts none. Exits 1 if none is running.
    #[command(after_help = "\
Examples:
  banger daemon status
  banger daemon status --json | jq .pid")]
    Status(JsonArgs),
    /// Print the path of the daemon's socket.
    ///
    /// Where it listens or, if it is not running, where it would. Starts none.
    #[command(after_help = "\
Examples:
  curl --unix-socket \"$(banger daemon socket)\" http://banger/v1/version
  BANGER_SOCKET=$(banger daemon socket) my-program")]
    Socket,
}
