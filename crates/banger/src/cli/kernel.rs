//! `banger kernel …`: its verbs and their flags.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use model::VmName;

use super::{JsonArgs, ProgressArgs};

/// `banger kernel`.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    long_about = "\
List, fetch, import and delete kernels: what VMs boot.

A kernel is an uncompressed vmlinux with its modules. Each image names the kernel that \
boots it; the catalog's are fetched when a VM first needs them, and one that was built \
elsewhere is imported from a folder.",
    after_help = "\
Examples:
  banger kernel list                          what is here
  banger kernel list --available              what can be pulled
  banger kernel pull debian-cloud             before a VM needs it
  banger kernel import mine --from linux/     a kernel that you have built
  banger image pull alpine --kernel-ref mine  an image that boots it
  banger kernel rm mine"
)]
pub struct KernelGroup {
    /// What to do.
    #[command(subcommand)]
    pub command: KernelCommand,
}

/// The verbs of `banger kernel`.
#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// List the kernels that are here, or those that can be pulled.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  banger kernel list
  banger kernel list --available
  banger kernel list --json | jq -r '.[] | select(.images == []).name'"
    )]
    List(ListKernelsArgs),
    /// Fetch a kernel of the catalog, verified with the distribution's keys.
    ///
    /// One that is here stays as it is, unless --force has it fetched anew: that brings it to the newest version. VMs
    /// that have booted the old version keep it.
    ///
    /// Prints the kernel's name on stdout.
    #[command(after_help = "\
Examples:
  banger kernel pull debian-cloud
  banger kernel pull --force debian-cloud     its newest version")]
    Pull(PullKernelArgs),
    /// Take in a kernel from a folder.
    ///
    /// Looks there for vmlinux, vmlinuz, bzImage or one vmlinuz-VERSION, also in boot/; for initrd.img; and for
    /// modules in modules/, lib/modules/VERSION or usr/lib/modules/VERSION. An unpacked package of a distribution and
    /// what `make INSTALL_MOD_PATH=DIR modules_install` writes are such folders. A kernel with everything built in
    /// needs no modules. Links are followed only within the folder.
    ///
    /// Its modules and what is built in must hold what a VM boots with: virtio_pci, virtio_blk, virtio_console,
    /// virtio_net, erofs, ext4 and overlay.
    ///
    /// Prints the kernel's name on stdout.
    #[command(
        override_usage = "banger kernel import [OPTIONS] --from <DIR> <NAME>",
        after_help = "\
Examples:
  banger kernel import mine --from ~/linux
  dpkg -x linux-image-6.12.deb unpacked
  banger kernel import testing --from unpacked"
    )]
    Import(ImportKernelArgs),
    /// Show everything about a kernel.
    #[command(after_help = "\
Examples:
  banger kernel show debian-cloud
  banger kernel show debian-cloud --json | jq -r .version")]
    Show(ShowKernelArgs),
    /// Delete kernels that no image and no VM uses.
    ///
    /// Prints the name of each on stdout.
    #[command(
        visible_alias = "delete",
        after_help = "\
Examples:
  banger kernel rm mine"
    )]
    Rm(KernelReferencesArgs),
}

/// `banger kernel list`.
#[derive(Debug, Args)]
pub struct ListKernelsArgs {
    /// What the catalog has, and which of it is here.
    #[arg(long)]
    pub available: bool,
    /// Names only, one a line.
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
    #[command(flatten)]
    pub output: JsonArgs,
}

/// `banger kernel pull`.
#[derive(Debug, Args)]
pub struct PullKernelArgs {
    /// Kernel of the catalog.
    #[arg(value_name = "KERNEL")]
    pub name: String,
    /// Fetch it also where it is here.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `banger kernel import`.
#[derive(Debug, Args)]
pub struct ImportKernelArgs {
    /// Name to give it, 1 to 63 of a-z, 0-9 and `-`.
    #[arg(
        value_name = "NAME",
        allow_hyphen_values = true,
        value_parser = VmName::parse,
        required_unless_present = "by_flag",
        conflicts_with = "by_flag"
    )]
    pub name: Option<VmName>,
    /// The same as NAME, for those who write it so.
    #[arg(long = "name", id = "by_flag", value_name = "NAME", hide = true, value_parser = VmName::parse)]
    pub by_flag: Option<VmName>,
    /// Folder that holds it.
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The distribution that it is from, for listings.
    #[arg(long, value_name = "DISTRO", value_parser = VmName::parse)]
    pub distro: Option<VmName>,
    /// What it runs on. Every kernel is held against this host's, whatever is said here.
    #[arg(long, value_name = "ARCH", hide_possible_values = true)]
    pub arch: Option<Arch>,
    /// Print nothing but the name, and errors.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `--arch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// 64-bit PC.
    #[value(alias = "x86_64")]
    Amd64,
}

/// `banger kernel show`.
#[derive(Debug, Args)]
pub struct ShowKernelArgs {
    /// Kernel.
    #[arg(value_name = "KERNEL")]
    pub kernel: String,
    #[command(flatten)]
    pub output: JsonArgs,
}

/// Several kernels.
#[derive(Debug, Args)]
pub struct KernelReferencesArgs {
    /// Kernels.
    #[arg(required = true, value_name = "KERNEL")]
    pub kernels: Vec<String>,
}
