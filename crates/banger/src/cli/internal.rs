//! `banger internal …`: what ssh and banger's own build call. Hidden, and free to change.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use model::VmName;

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
    /// Print a catalog with one more entry.
    AddEntry(AddEntryArgs),
    /// Check an entry of a catalog and the bundle beside it, and print the entry.
    CheckEntry(EntryArgs),
    /// Write the man pages into a folder.
    ManPages(ManPagesArgs),
    /// Make a bundle of an image or a kernel, and print its entry of a catalog.
    MakeBundle(MakeBundleArgs),
    /// Join stdin and stdout to the sshd of a VM: ssh's ProxyCommand.
    SshProxy(SshProxyArgs),
}

/// `banger internal check-entry`.
#[derive(Debug, Args)]
pub struct EntryArgs {
    /// Part of the catalog.
    #[arg(value_name = "KIND")]
    pub kind: EntryKind,
    /// File of the entry.
    #[arg(value_name = "ENTRY")]
    pub entry: PathBuf,
}

/// Parts of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EntryKind {
    /// Images.
    Images,
    /// Kernels.
    Kernels,
}

/// `banger internal add-entry`.
#[derive(Debug, Args)]
pub struct AddEntryArgs {
    /// The entry.
    #[command(flatten)]
    pub entry: EntryArgs,
    /// File of the catalog.
    #[arg(value_name = "CATALOG")]
    pub catalog: PathBuf,
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

/// `banger internal make-bundle`.
#[derive(Debug, Args)]
pub struct MakeBundleArgs {
    /// Of an image: its root file system, a tar; `-` for stdin.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "kernel_from",
        conflicts_with = "kernel_from",
        requires = "kernel"
    )]
    pub rootfs_tar: Option<PathBuf>,
    /// Of a kernel: a folder, as `kernel import` takes it.
    #[arg(long, value_name = "DIR")]
    pub kernel_from: Option<PathBuf>,
    /// Name of the entry.
    #[arg(long, value_name = "NAME", value_parser = VmName::parse)]
    pub name: VmName,
    /// The kernel that boots the image.
    #[arg(long, value_name = "KERNEL", value_parser = VmName::parse)]
    pub kernel: Option<VmName>,
    /// The distribution that it is from.
    #[arg(long, value_name = "DISTRO", default_value = "")]
    pub distro: String,
    /// What it runs on, by Debian's name.
    #[arg(long, value_name = "ARCH", default_value = "amd64")]
    pub arch: String,
    /// One line.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
    /// File to write, or the folder for it.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
