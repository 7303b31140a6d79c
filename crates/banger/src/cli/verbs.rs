//! The flags of the smaller verbs of `banger vm`, and those that several verbs share.

use api::KillSignal;
use clap::Args;

use super::vm::{ReferenceArgs, ReferencesArgs};

/// What is said beside the result.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ProgressArgs {
    /// Print nothing but the result, and errors.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print how many milliseconds each stage took.
    #[arg(long)]
    pub timings: bool,
}

/// `banger vm start` and `restart`.
#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    pub vms: ReferencesArgs,
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `banger vm stop` and `delete`.
#[derive(Debug, Args)]
pub struct StopArgs {
    #[command(flatten)]
    pub vms: ReferencesArgs,
    /// Print nothing but the result, and errors.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `banger vm kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    #[command(flatten)]
    pub vms: ReferencesArgs,
    /// Signal for the VM's machine: KILL, TERM or INT.
    #[arg(
        long,
        value_name = "SIGNAL",
        default_value = "KILL",
        hide_default_value = true
    )]
    pub signal: KillSignal,
    /// Print nothing but the result, and errors.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `banger vm prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Do not ask.
    #[arg(short, long)]
    pub force: bool,
    /// Print nothing but the result, and errors.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `banger vm ping`.
#[derive(Debug, Args)]
pub struct PingArgs {
    #[command(flatten)]
    pub vms: ReferencesArgs,
    /// Print JSON instead of text for people.
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print nothing but errors: the exit code is the answer.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `banger vm shell`.
#[derive(Debug, Args)]
pub struct ShellArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    /// User in the guest, by name or number; root if left out.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}
