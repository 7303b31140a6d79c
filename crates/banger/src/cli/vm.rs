//! `banger vm …`: its verbs and their flags.

use std::ffi::OsString;

use api::PortForward;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use model::{DiskSize, MemorySize, NetworkMode, VcpuCount, VmName};

use super::forward::parse;
use super::workspace::{ChoiceArgs, WorkspaceGroup};
use super::{
    BootArgs, CpArgs, DeleteArgs, EnvironmentArgs, ForwardArgs, JsonArgs, KillArgs, ListingArgs, LogsArgs,
    PingArgs, PortsArgs, ProgressArgs, PruneArgs, SetArgs, ShellArgs, SshArgs, StartArgs, StatsArgs,
    StopArgs, WaitArgs,
};

/// The verbs of `banger vm`.
#[derive(Debug, Subcommand)]
pub enum VmCommand {
    /// Make a VM, boot it, and open a shell or run a command in it.
    ///
    /// Without a command it opens a root shell. Leaving the shell keeps the VM: `vm shell` enters it again,
    /// `vm stop` shuts it down, `vm delete` deletes it. With --rm it is deleted at the end, whatever the end is,
    /// Ctrl-C included.
    ///
    /// With a command, stdin is passed on only with -i, stdout and stderr come back apart, and the exit code is the
    /// command's own: 128+n if signal n ended it, 127 if the guest has no such command, 126 if it cannot be
    /// executed. Signals are passed on; a second Ctrl-C within a second kills the command.
    ///
    /// With a PATH in a git repository, that repository is put into the VM as /root/repo, and the shell or command
    /// starts there: what git tracks, as it is in your working tree. `vm workspace` brings changes back; --apply does at
    /// the end, --export FILE writes them as a patch. If that is refused the patch is saved, and if it cannot be saved
    /// the VM stays, also with --rm. With --user, or an image that has one, the workspace is that user's.
    ///
    /// A repository can ask for its VM in a file .banger.toml: image, shape, network, ports, commands to set it up.
    /// That is shown, and you are asked, the first time and whenever it changes. What you say with flags wins.
    ///
    /// Tools that it names in mise.toml, .mise.toml or .tool-versions are installed by the VM's mise: with -d before
    /// the VM's name is printed, else while your shell is open. For a command they are not.
    ///
    /// Image, shape and network that are not given come from ~/.config/banger/config.toml, which has defaults for
    /// all. An image or kernel that is missing is fetched or built first. Ctrl-C while the VM starts leaves nothing
    /// behind.
    #[command(after_help = "\
Examples:
  banger vm run                            a shell in a new VM
  banger vm run .                          one with this git repository in it
  banger vm run . --rm -- make test        its tests, nothing kept
  banger vm run . --rm --apply -- make fmt  its changes back into your files
  banger vm run --rm -- uname -a           one command, nothing kept
  banger vm run --rm -t -- top             a command that needs a terminal
  banger vm run --vcpu 4 --memory 8G --disk-size 40G --name big
  banger vm run --network none --rm -- sh -c 'ip addr'
  banger vm run -d --name web --env-file web.env --publish 8080:80
  banger vm run -q --rm --user nobody -- id
  banger vm run --image alpine:3.19 --rm -- cat /etc/os-release
  tar c . | banger vm run --rm -i -- sh -c 'tar x && ls -lR'")]
    Run(RunArgs),
    /// Make a VM and start it.
    ///
    /// Prints the VM's name on stdout once it runs.
    #[command(after_help = "\
Examples:
  banger vm create --name box
  banger vm create --name later --no-start --memory 4G")]
    Create(CreateArgs),
    /// Boot VMs that are not running.
    ///
    /// Prints the name of each on stdout once it runs.
    #[command(after_help = "\
Examples:
  banger vm start box
  banger vm start web db cache")]
    Start(StartArgs),
    /// Shut VMs down; their disks stay.
    ///
    /// The guest shuts down in order, and is switched off if it does not. What it had written is kept.
    #[command(after_help = "\
Examples:
  banger vm stop box
  banger vm stop $(banger ps -q)")]
    Stop(StopArgs),
    /// Shut VMs down and boot them again.
    ///
    /// As `stop` and `start`: what the guest had written is kept, and its boot id is a new one. A VM that does not
    /// run is just started.
    #[command(after_help = "\
Examples:
  banger vm restart box
  banger vm restart $(banger ps -q)")]
    Restart(StartArgs),
    /// End VMs at once, without asking their guests.
    ///
    /// For a guest that `stop` is too slow for, or that hangs. What the guest had not synced is lost; its disk
    /// stays, and `start` boots it again. A VM that does not run is left as it is.
    ///
    /// The signal goes to the VM's machine on the host, not into the guest: KILL ends it whatever it does, TERM and
    /// INT let it write what it holds. `vm exec NAME -- kill` signals a process of the guest.
    #[command(after_help = "\
Examples:
  banger vm kill box
  banger vm kill --signal TERM web db")]
    Kill(KillArgs),
    /// Change VMs' processors, memory or disk size.
    ///
    /// A disk only grows, and a running guest sees it at once, file system and all. Processors and memory are
    /// changed while the VM does not run.
    #[command(after_help = "\
Examples:
  banger vm set box --disk-size 40G
  banger vm stop box && banger vm set box --vcpu 4 --memory 8G")]
    Set(SetArgs),
    /// Delete VMs and their disks, running or not.
    ///
    /// On a terminal it looks first for work that is in a VM's workspaces only: commits and files that your repository
    /// does not have. If there is any, or if that cannot be found out, it says so and asks; -f does not.
    #[command(
        visible_alias = "rm",
        after_help = "\
Examples:
  banger vm delete box
  banger vm delete -f box                  without a question
  banger vm delete $(banger ps -a -q)      all of them"
    )]
    Delete(DeleteArgs),
    /// Delete all VMs that do not run, and their disks.
    ///
    /// Stopped VMs, those that were never started and those that failed. A VM that runs, or is about to, is never
    /// touched. Says which they are and asks first; -f does not.
    #[command(after_help = "\
Examples:
  banger vm prune
  banger vm prune -f")]
    Prune(PruneArgs),
    /// List all VMs.
    ///
    /// `banger ps` lists those that run.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  banger vm list
  banger vm list --json | jq -r '.[] | select(.state == \"stopped\").name'"
    )]
    List(ListArgs),
    /// Show everything about a VM.
    #[command(after_help = "\
Examples:
  banger vm show box
  banger vm show box --json | jq .boot_id")]
    Show(ShowArgs),
    /// Print a VM's serial console, or its VMM's log.
    ///
    /// The newest part of it, of the last run. With -f it goes on as more is printed, until the VM stops.
    ///
    /// On a terminal, control characters of the guest's are made harmless; a pipe gets them as they are.
    #[command(after_help = "\
Examples:
  banger vm logs box
  banger vm logs -f box
  banger vm logs --vmm box
  banger vm logs box | grep -i oom")]
    Logs(LogsArgs),
    /// Show what VMs use: processors, memory, disk and network.
    ///
    /// A line for each VM, and one for all together. CPU is that of the host, 100 % being one processor, over half a
    /// second. MEM is what the guest uses of what it has, RSS what that takes of the host's memory. DISK is what the
    /// guest uses of what it has, ALLOC what that takes on the host. IN and OUT are what went over the network.
    #[command(after_help = "\
Examples:
  banger vm stats
  banger vm stats --watch web db
  banger vm stats --json | jq '.total.rss'")]
    Stats(StatsArgs),
    /// Ask whether VMs' agents answer.
    ///
    /// One line for each, with the time that the answer took. Exits 1 if any does not answer.
    #[command(after_help = "\
Examples:
  banger vm ping box
  banger vm ping -q box && echo there
  banger vm ping $(banger ps -q) --json | jq '.[].round_trip_us'")]
    Ping(PingArgs),
    /// Copy files into a running VM, out of it, or between two.
    ///
    /// One of SRC and DST is in a VM: NAME:PATH. A folder is copied with all that is in it; SRC/. is what is in it,
    /// without the folder. Into a DST that is a folder SRC goes under its own name, as each of several SRC does;
    /// otherwise it becomes DST, whose parent must be there. Links are copied as links; where DST is a link to a file, a
    /// file that is copied takes that file's place. What is left out, such as a socket, is named. Where `-` stands for SRC or DST, a tar stream is read from
    /// stdin and put into the folder DST, or written to stdout.
    ///
    /// Modes and times are kept. What arrives in a VM is root's, what arrives here is yours; -a keeps owners. Nothing
    /// is under its final name before it is whole: a copy that breaks off can just be made again.
    #[command(after_help = "\
Examples:
  banger vm cp site box:/srv               makes /srv/site
  banger vm cp site/. box:/srv             puts what is in site into /srv
  banger vm cp a.conf b.conf box:/etc      several into a folder that is there
  banger vm cp box:/var/log/syslog .
  banger vm cp box:/etc/hosts hosts.txt
  banger vm cp box:/srv/data other:/srv    from one VM to another
  git archive HEAD | banger vm cp - box:/srv/site
  banger vm cp box:/srv - | tar t")]
    Cp(CpArgs),
    /// Copy git repositories into VMs, and what was changed there back out.
    #[command(long_about = "\
Copy git repositories into VMs, and what was changed there back out.

A workspace is a copy of a git repository in a VM: a repository of its own, with your uncommitted changes. What was \
done there comes back as a patch that cannot run anything here.")]
    Workspace(WorkspaceGroup),
    /// Run a command in a running VM.
    ///
    /// Stdout and stderr come back apart, and the exit code is the command's own: 128+n if signal n ended it, 127
    /// if the guest has no such command, 126 if it cannot be executed. The command is run as it is, without a
    /// shell. Signals are passed on; a second Ctrl-C within a second kills it.
    ///
    /// Flags of banger's may stand before and after the VM, up to the command's first word or a `--`.
    #[command(after_help = "\
Examples:
  banger vm exec box ls -l /root
  banger vm exec box -- ls -l /root        the same
  banger vm exec box -- sh -c 'cd /srv && ls | wc -l'
  banger vm exec box --workdir /srv --env DEBUG=1 -- ./serve
  banger vm exec box -it -- bash
  banger vm exec -i box -- sh -c 'cat > /root/data' < data")]
    Exec(ExecArgs),
    /// Open a shell in a running VM.
    ///
    /// Needs a terminal; `vm exec -i NAME -- sh` takes a script on stdin.
    #[command(after_help = "\
Examples:
  banger vm shell box
  banger vm shell --user nobody box
  banger vm exec -i box -- sh < script.sh")]
    Shell(ShellArgs),
    /// Open an ssh session in a running VM, or run a command by ssh.
    ///
    /// Runs the OpenSSH client with banger's own key and the VM's own host key; it goes through banger's agent and
    /// works without a network. What follows the VM is ssh's: options, then a command, which ssh hands to the guest's
    /// shell as one line. The words of a command after `--` arrive as they are. The exit code is ssh's: the command's,
    /// or 255 if ssh failed.
    ///
    /// After `banger ssh-config --install` plain ssh, scp, sftp and editors know the VM as NAME.vm.
    #[command(
        override_usage = "banger vm ssh [--start] REF [SSH OPTIONS] [COMMAND | -- COMMAND]",
        after_help = "\
Examples:
  banger vm ssh box
  banger vm ssh box 'ls /srv | wc -l'
  banger vm ssh box -- touch 'a file' another
  banger vm ssh box -N -L 8080:localhost:80     its port 80 as your 8080
  banger vm ssh box -l ada                      as another user"
    )]
    Ssh(SshArgs),
    /// Make ports of a running VM reachable on this host.
    ///
    /// Prints what it has bound, a line each, and goes on until Ctrl-C. A connection to the host's port becomes one
    /// to the guest's, from inside the guest: it works in every network mode, none included, and a server that
    /// listens on the guest's 127.0.0.1 alone is reached, too.
    #[command(after_help = "\
Examples:
  banger vm forward web 8080:80            http://localhost:8080 is its port 80
  banger vm forward db 5432                the same port on both sides
  banger vm forward web 0:80 0:443         any free ports; it says which
  banger vm forward dns 5353:53/udp
  banger vm forward web 0.0.0.0:8080:80    for other hosts, too")]
    Forward(ForwardArgs),
    /// List what listens in a running VM.
    ///
    /// One line for each port, with the guest's process behind it, and where this host has it if it is published. URL
    /// is there for what answers in HTTP, `http` alone where it is not published: every TCP port is asked once.
    #[command(after_help = "\
Examples:
  banger vm ports web
  banger vm ports web --json | jq '.[] | select(.http).url'")]
    Ports(PortsArgs),
}

/// What a VM is made of. What is left out takes the default of `config.toml`.
#[derive(Debug, Default, Args)]
pub struct Shape {
    /// Name, 1 to 63 of a-z, 0-9 and `-`. Made up if left out.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, value_parser = VmName::parse)]
    pub name: Option<VmName>,
    /// Image to start from, as `banger image list` names it, or a reference with a tag, such as alpine:3.19, which is
    /// pulled if it is not here.
    #[arg(long, value_name = "IMAGE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub image: Option<String>,
    /// Speak to the image's registry without TLS: for one on this machine.
    #[arg(long, requires = "image")]
    pub plain_http: bool,
    /// Kernel that boots it, as `banger kernel list` names it; the image's if left out.
    #[arg(long, value_name = "KERNEL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
    /// Virtual processors, 1 to 64.
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = VcpuCount::parse)]
    pub vcpu: Option<VcpuCount>,
    /// Memory: 512M, 4G, 4GiB; a bare number is MiB.
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true, value_parser = MemorySize::parse)]
    pub memory: Option<MemorySize>,
    /// Size of the disk: 20G; a bare number is MiB. It takes what is used.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = DiskSize::parse)]
    pub disk_size: Option<DiskSize>,
    /// Network: none, or user for outbound connections.
    #[arg(long, value_name = "MODE", value_parser = network_modes(), hide_possible_values = true)]
    pub network: Option<NetworkMode>,
    /// Make a port of the VM reachable on this host while it runs, from this host alone.
    ///
    /// 8080:80 makes http://localhost:8080 the VM's port 80. Also 80 for both sides, 0:80 for any free port,
    /// 0.0.0.0:8080:80 for other hosts, 53:53/udp. May be given several times.
    #[arg(short, long, value_name = "HOST:GUEST", value_parser = parse)]
    pub publish: Vec<PortForward>,
    #[command(flatten)]
    pub environment: EnvironmentArgs,
}

/// The modes that `--network` takes, by their words.
fn network_modes() -> impl TypedValueParser<Value = NetworkMode> {
    let words = NetworkMode::ALL.iter().map(|mode| mode.word());
    PossibleValuesParser::new(words).map(|word| NetworkMode::from_word(&word).unwrap_or_default())
}

/// `banger vm run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A path in a git repository, whose files go into the VM.
    #[arg(value_name = "PATH")]
    pub path: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// Agree to what the repository's .banger.toml asks for, unseen, until it changes.
    #[arg(long, requires = "path", conflicts_with = "no_config")]
    pub trust_config: bool,
    /// Leave the repository's .banger.toml out.
    #[arg(long, requires = "path")]
    pub no_config: bool,
    /// Do not install the tools that the repository names for mise.
    #[arg(long, requires = "path")]
    pub no_bootstrap: bool,
    #[command(flatten)]
    pub shape: Shape,
    #[command(flatten)]
    pub wait: WaitArgs,
    #[command(flatten)]
    pub progress: ProgressArgs,
    /// Directory to run in; the repository's or the user's home if left out.
    #[arg(short, long, value_name = "DIR", conflicts_with = "detach")]
    pub workdir: Option<String>,
    /// User in the guest, by name or number; root if left out.
    #[arg(short, long, value_name = "NAME", conflicts_with = "detach")]
    pub user: Option<String>,
    /// Delete the VM at the end, whatever the end is.
    #[arg(long, conflicts_with = "detach")]
    pub rm: bool,
    /// Bring what was changed in the workspace back into your files at the end, commits as their changes. If it is refused,
    /// the patch is saved.
    #[arg(long, requires = "path", conflicts_with = "detach")]
    pub apply: bool,
    /// Write what was changed in the workspace to this file at the end, as a patch.
    #[arg(long, value_name = "FILE", requires = "path", conflicts_with = "detach")]
    pub export: Option<std::path::PathBuf>,
    /// Leave the VM running and print its name.
    #[arg(short, long, conflicts_with_all = ["command", "tty", "interactive"])]
    pub detach: bool,
    /// Pass stdin on to the command.
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command your terminal, stdin included.
    #[arg(short, long)]
    pub tty: bool,
    /// Run what the image says: its entry point, with COMMAND as arguments if there is one, else with the image's own.
    #[arg(long, conflicts_with = "detach")]
    pub entrypoint: bool,
    /// Command to run, as it is, without a shell.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `banger vm create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    pub shape: Shape,
    #[command(flatten)]
    pub wait: WaitArgs,
    #[command(flatten)]
    pub progress: ProgressArgs,
    /// Make the VM without starting it.
    #[arg(long)]
    pub no_start: bool,
}

/// Several VMs.
#[derive(Debug, Args)]
pub struct ReferencesArgs {
    /// VMs: names, ids or beginnings of ids.
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
}

/// One VM.
#[derive(Debug, Args)]
pub struct ReferenceArgs {
    /// VM: name, id or beginning of an id.
    #[arg(value_name = "REF")]
    pub reference: String,
}

/// `banger vm list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// What it does anyway; for those who are used to `ps -a`.
    #[arg(short, long, hide = true)]
    pub all: bool,
    #[command(flatten)]
    pub listing: ListingArgs,
}

/// `banger vm show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    #[command(flatten)]
    pub output: JsonArgs,
}

/// `banger vm exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    /// Directory to run in; the user's home if left out.
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    #[command(flatten)]
    pub environment: EnvironmentArgs,
    /// User in the guest, by name or number; root if left out.
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,
    #[command(flatten)]
    pub boot: BootArgs,
    /// Bring the VM's workspaces up to date with your repositories first.
    #[arg(long)]
    pub auto_prepare: bool,
    /// Pass stdin on.
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command your terminal, stdin included.
    #[arg(short, long)]
    pub tty: bool,
    /// Command to run, as it is, without a shell: from its first word on, nothing is a flag of banger's.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
