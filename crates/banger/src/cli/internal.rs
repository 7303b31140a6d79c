//! `banger internal …`: what ssh and banger's own build call. Hidden, and free to change.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `banger internal`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, disable_help_subcommand = true)]
pub struct InternalGroup {
    /// What to do.
    #[command(subcommand)]
    pub command: InternalCommand,
}

/// The verbs of `banger internal`.
#[derive(Debug, Subcommand)]
pub enum InternalCommand {
    /// Write the man pages into a folder.
    ManPages(ManPagesArgs),
    /// Join stdin and stdout to the sshd of a VM: ssh's ProxyCommand.
    SshProxy(SshProxyArgs),
}

/// `banger internal man-pages`.
#[derive(Debug, Args)]
pub struct ManPagesArgs {
    /// Folder for them; made if it is missing.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// `banger internal ssh-proxy`.
#[derive(Debug, Args)]
pub struct SshProxyArgs {
    /// VM, as ssh calls it: NAME.vm.
    #[arg(value_name = "HOST")]
    pub host: String,
}
