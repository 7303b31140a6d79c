//! The command line: what can be typed, and the help that is enough for somebody who reads nothing else.

mod completion;
mod cp;
mod daemon;
mod empty;
mod environment;
mod forward;
mod image;
mod internal;
mod kernel;
mod man;
mod short;
#[cfg(test)]
mod smoke;
mod ssh;
mod suggest;
mod usage;
mod verbs;
mod vm;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use completion::{CompletionArgs, VARIABLE as COMPLETE_VARIABLE};
pub use cp::{CpArgs, End};
pub use daemon::{DaemonCommand, DaemonGroup};
pub use environment::EnvironmentArgs;
pub use forward::{ForwardArgs, PortsArgs};
pub use image::{
    BuildArgs, CacheCommand, CachePruneArgs, ExportArgs, ImageCommand, ImageGroup, PullArgs, RegisterArgs,
};
pub use internal::{AddEntryArgs, EntryArgs, EntryKind, InternalCommand, InternalGroup, MakeBundleArgs};
pub use kernel::{ImportKernelArgs, KernelCommand, KernelGroup, ListKernelsArgs, PullKernelArgs};
pub use ssh::{SshArgs, SshConfigArgs};
pub use verbs::{
    BootArgs, DeleteArgs, KillArgs, LogsArgs, NewShape, PingArgs, ProgressArgs, PruneArgs, SetArgs,
    ShellArgs, StartArgs, StatsArgs, StopArgs, Wait, WaitArgs,
};
pub use vm::{CreateArgs, ExecArgs, ListArgs, ReferencesArgs, RunArgs, Shape, ShowArgs, VmCommand};

pub use workspace::{
    ApplyArgs, ChoiceArgs, DiffArgs, ExportWorkspaceArgs, GUEST_PATH, ModeArg, PrepareArgs,
    PullWorkspaceArgs, StatusArgs, WorkspaceCommand, WorkspaceGroup,
};

use crate::failure::Failure;

/// Columns of every help screen.
const WIDTH: usize = 80;

/// Development sandboxes on microVMs, in one command.
#[derive(Debug, Parser)]
#[command(
    name = "banger",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    long_about = "\
Development sandboxes on microVMs, in one command.

Each sandbox is a virtual machine with a kernel and a disk of its own: break it, \
delete it, make another. The most used command makes one and opens a root shell \
in it:

  banger run

The verbs of VMs and images are grouped: `banger vm run`, `banger image pull`. \
Those that are used most have short forms as well.",
    after_help = "\
Examples:
  banger run                          a new VM and a root shell in it
  banger run --rm -- uname -a         run one command, keep nothing
  banger ps                           what is running
  banger exec NAME COMMAND            run something in a VM that is there
  banger doctor                       what this host lacks, and how to mend it

What a command prints goes to stdout; progress, messages and errors to stderr.
Exit codes: 0 done, 1 failed, 2 wrong usage. `vm run -- COMMAND` and `vm exec`
exit with the command's own code: 128+n if signal n ended it, 127 if the guest
has no such command, 126 if it cannot be executed.

A daemon (`bangerd`) does the work. It is started when needed and ends by
itself when no VM runs.

Environment:
  BANGER_SOCKET   as --socket
  NO_COLOR        no colours, if set to anything"
)]
pub struct Cli {
    /// Talk to the daemon at this socket, and never start one.
    ///
    /// BANGER_SOCKET does the same.
    #[arg(long, global = true, value_name = "PATH", display_order = 900)]
    pub socket: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The first word.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, start, enter, stop and delete VMs.
    #[command(long_about = "\
Make, start, enter, stop and delete VMs.

A VM is a machine with a name, an image that it starts from, and a disk that keeps \
what was written until the VM is deleted. The most used command makes one and opens \
a root shell in it:

  banger vm run")]
    Vm(VmGroup),
    /// Pull, list and delete images: what VMs start from.
    Image(ImageGroup),
    /// List, fetch, import and delete kernels: what VMs boot.
    Kernel(KernelGroup),
    /// List running VMs.
    ///
    /// One line for each VM that runs or is about to; `-a` for all of them. A guest that has booted again by itself is
    /// told of with its state; a VM whose guest or VMM crashed is a warning until it is started again.
    #[command(after_help = "\
Examples:
  banger ps                           running VMs
  banger ps -a                        all VMs
  banger vm stop $(banger ps -q)      stop whatever runs")]
    Ps(PsArgs),
    /// Show what takes space on this host's disk.
    ///
    /// One line for each image, kernel, VM and cache: how large it is, what it takes on the disk, how many VMs
    /// share it, and what of it could go because nothing in use would miss it. A VM's disk takes what was written
    /// to it; what the guest deletes is given back.
    #[command(after_help = "\
Examples:
  banger df
  banger vm prune                     delete the VMs that are off
  banger df --json | jq '[.items[].reclaimable] | add'")]
    Df(JsonArgs),
    /// Check this host and say how to mend what is missing.
    ///
    /// One line a check: PASS, WARN or FAIL, what was found, and under it the command that mends it.
    /// Exits 1 if any check fails.
    #[command(after_help = "\
Examples:
  banger doctor
  banger doctor --json | jq '.checks[] | select(.state != \"pass\")'")]
    Doctor(JsonArgs),
    /// Start, end or look at the daemon that runs the VMs.
    #[command(long_about = "\
Start, end or look at the daemon that runs the VMs.

Nobody has to: it is started by the first command that needs it, and ends by itself \
when no VM runs. VMs outlive it. The most used command tells whether it is running, \
and where:

  banger daemon status")]
    Daemon(DaemonGroup),
    /// Print what makes a shell complete banger's commands.
    ///
    /// Completes commands, flags, and the names of VMs, images and kernels. Asks the daemon for names, and starts none: without
    /// one there are fewer completions and no delay.
    #[command(after_help = "\
Examples:
  echo 'source <(banger completion bash)' >> ~/.bashrc
  echo 'source <(banger completion zsh)' >> ~/.zshrc      after compinit
  banger completion fish > ~/.config/fish/completions/banger.fish")]
    Completion(CompletionArgs),
    /// Make plain `ssh NAME.vm` work: print, add or remove ssh's settings.
    ///
    /// Prints settings for OpenSSH that lead to VMs as NAME.vm: with banger's own key, and checking each VM's own
    /// host key, which banger has made. --install has ~/.ssh/config include them, in one marked block at its top;
    /// --uninstall removes that block. Nothing else that banger does ever writes there.
    #[command(after_help = "\
Examples:
  banger ssh-config --install         then: ssh box.vm, scp, sftp, rsync
  banger ssh-config --uninstall
  banger ssh-config > vms.conf        for ssh -F vms.conf box.vm")]
    SshConfig(SshConfigArgs),
    /// What ssh and banger's own build call.
    #[command(hide = true)]
    Internal(InternalGroup),
    /// Show the versions of banger and of its daemon.
    ///
    /// The daemon's only if one is running: this starts none.
    #[command(after_help = "\
Examples:
  banger version
  banger version --json")]
    Version(JsonArgs),
}

/// `banger vm`.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  banger vm run --name box            a new VM called box, and a shell in it
  banger vm run .                     one with this git repository in it
  banger vm run --rm -- uname -a      run one command, keep nothing
  banger vm run -d --name web         start one and leave it running
  banger vm exec web -- systemctl is-system-running
  banger vm cp site web:/srv          copy files in; the other way round, out
  banger vm shell web                 another shell in it
  banger vm stop web                  shut it down; its disk stays
  banger vm start web                 boot it again
  banger vm restart web               both, one after the other
  banger vm delete web                delete it and its disk
  banger vm prune                     delete all that do not run

A VM is referred to by its name, its id, or as much of the id as is unambiguous."
)]
pub struct VmGroup {
    /// What to do.
    #[command(subcommand)]
    pub command: VmCommand,
}

/// `banger ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// All VMs, not just running ones.
    #[arg(short, long)]
    pub all: bool,
    #[command(flatten)]
    pub listing: ListingArgs,
}

/// How a listing is printed.
#[derive(Debug, Args)]
pub struct ListingArgs {
    /// Ids only, one a line.
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
    /// Print JSON instead of text for people.
    #[arg(long)]
    pub json: bool,
}

/// `--json`, where that is the only choice.
#[derive(Debug, Args)]
pub struct JsonArgs {
    /// Print JSON instead of text for people.
    #[arg(long)]
    pub json: bool,
}

/// Reads the command line.
///
/// # Errors
/// Wrong usage, as a failure with exit code 2; help and version that were asked for, as one with code 0.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let root = command();
    let refused = |error: clap::Error| usage::failure(&error, &meant(&arguments));
    let matches = root.clone().try_get_matches_from(&arguments).map_err(refused)?;
    empty::refuse(&root, &matches, &meant(&arguments))?;
    let cli = short::read(&matches).map_err(refused)?;
    usage::check(&cli, &arguments)?;
    Ok(cli)
}

/// The whole command line, with help screens of a width that fits every terminal.
fn command() -> clap::Command {
    short::with_words(Cli::command()).term_width(WIDTH)
}

/// The same, for a shell that asks how a word may go on.
pub fn command_to_complete() -> clap::Command {
    completion::with_completers(command())
}

/// The man pages.
///
/// # Errors
/// None that a buffer in memory gives.
pub fn man_pages() -> std::io::Result<Vec<man::Page>> {
    man::pages(command())
}

/// The command that was meant, as far as its words are commands: `banger vm run`.
fn meant(arguments: &[OsString]) -> String {
    let (mut names, mut command) = (vec!["banger".to_owned()], command());
    for word in arguments.iter().skip(1).take_while(|word| *word != "--") {
        if let Some(found) = word
            .to_str()
            .and_then(|word| command.find_subcommand(word))
            .cloned()
        {
            names.push(found.get_name().to_owned());
            command = found;
        }
    }
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn no_help_screen_is_wider_than_its_columns() {
        fn check(command: &mut clap::Command) {
            for line in command.render_long_help().to_string().lines() {
                assert!(line.chars().count() <= WIDTH, "{}: {line}", command.get_name());
            }
            for command in command.get_subcommands_mut() {
                check(command);
            }
        }
        let mut command = command();
        command.build();
        check(&mut command);
    }
}
