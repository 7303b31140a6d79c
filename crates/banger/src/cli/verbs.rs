//! The flags of the smaller verbs of `banger vm`, and those that several verbs share.

use api::KillSignal;
use clap::{Args, ValueEnum};
use model::{DiskSize, MemorySize, VcpuCount};

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

/// What a start waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// Until a command can be run.
    #[default]
    Ready,
    /// Until the image's init has finished booting.
    Boot,
}

/// `--wait`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct WaitArgs {
    /// Wait until commands can be run (ready), or until all services are up (boot).
    #[arg(
        long,
        value_name = "STAGE",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub wait: Wait,
}

/// `--start`, where a running VM is needed.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct BootArgs {
    /// Start the VM first if it is off.
    #[arg(long)]
    pub start: bool,
}

/// `banger vm start` and `restart`.
#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    pub vms: ReferencesArgs,
    #[command(flatten)]
    pub wait: WaitArgs,
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `banger vm stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    #[command(flatten)]
    pub vms: ReferencesArgs,
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `banger vm delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    pub vms: ReferencesArgs,
    /// Do not ask, also where work would be lost.
    #[arg(short, long)]
    pub force: bool,
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

/// `banger vm set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    #[command(flatten)]
    pub vms: ReferencesArgs,
    #[command(flatten)]
    pub shape: NewShape,
    /// Print nothing but the result, and errors.
    #[arg(short, long)]
    pub quiet: bool,
}

/// What a VM is to be made of from now on.
#[derive(Clone, Copy, Debug, Args)]
pub struct NewShape {
    /// Virtual processors, 1 to 64.
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = VcpuCount::parse)]
    pub vcpu: Option<VcpuCount>,
    /// Memory: 512M, 4G, 4GiB; a bare number is MiB.
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true, value_parser = MemorySize::parse)]
    pub memory: Option<MemorySize>,
    /// Size of the disk: 20G; a bare number is MiB. It only grows.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = DiskSize::parse)]
    pub disk_size: Option<DiskSize>,
}

/// `banger vm stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// VMs: names, ids or beginnings of ids; all that run if left out.
    #[arg(value_name = "REF")]
    pub references: Vec<String>,
    /// Go on until Ctrl-C, every two seconds.
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Print JSON instead of text for people.
    #[arg(long)]
    pub json: bool,
}

/// `banger vm logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    /// Go on with what is added, until the VM stops.
    #[arg(short, long)]
    pub follow: bool,
    /// What the VM's VMM said, instead of its serial console.
    #[arg(long)]
    pub vmm: bool,
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
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,
    #[command(flatten)]
    pub boot: BootArgs,
}
