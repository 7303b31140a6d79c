//! `banger internal …`: what banger's own build calls. Hidden, and free to change.

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
}

/// `banger internal man-pages`.
#[derive(Debug, Args)]
pub struct ManPagesArgs {
    /// Folder for them; made if it is missing.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}
