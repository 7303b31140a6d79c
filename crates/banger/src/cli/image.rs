//! `banger image …`: its verbs and their flags.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::VmName;

use super::{JsonArgs, ListingArgs, ProgressArgs};

/// `banger image`.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    long_about = "\
Pull, register, list and delete images: what VMs start from.

An image is a root file system that is never written to, and the name of the kernel \
that boots it. The catalog's are built or fetched by name when a VM first needs them; \
any container image becomes one by being pulled.",
    after_help = "\
Examples:
  banger image pull alpine:3.19               from docker.io, as `alpine`
  banger vm run --image alpine                a VM that starts from it
  banger image pull ghcr.io/org/app:2 --name app
  banger image pull --plain-http localhost:5000/app:dev
  banger image pull docker-archive:app.tar    what `docker save` has written
  banger image list
  banger image delete alpine"
)]
pub struct ImageGroup {
    /// What to do.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// The verbs of `banger image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Make an image of a container image, or get one of the catalog's.
    ///
    /// IMAGE is a name of the catalog; [HOST[:PORT]/]REPOSITORY[:TAG][@sha256:DIGEST] in a registry, docker.io if
    /// none is named; oci:DIR[:TAG], an OCI layout; oci-archive:FILE[:TAG], one in a tar; or docker-archive:FILE[:NAME],
    /// what `docker save` writes: of several images in it the one called NAME, or @0 for the first. Layers that are here
    /// already are not fetched again. Pulling what was pulled before brings it up to date; VMs that use it keep what they
    /// have.
    ///
    /// The image is called after the last part of its repository unless --name says otherwise. Logins come from
    /// ~/.docker/config.json and its credential helpers, as `docker login` and `podman login` keep them. One goes to its
    /// registry's own host only; to a token server elsewhere that the registry names, once --trust-realm has said so.
    ///
    /// Prints the image's name on stdout.
    #[command(after_help = "\
Examples:
  banger image pull alpine:3.19
  banger image pull ghcr.io/org/app:2 --name app
  banger image pull --plain-http localhost:5000/app:dev
  banger image pull oci:build/layout:latest --name mine
  banger image pull docker-archive:all.tar:app:2 --name app")]
    Pull(PullArgs),
    /// List the images that are here.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  banger image list
  banger image list --json | jq -r '.[] | select(.vms == []).name'"
    )]
    List(ListImagesArgs),
    /// Show everything about an image, what it runs included.
    #[command(after_help = "\
Examples:
  banger image show alpine
  banger image show alpine:3.19 --json | jq .config")]
    Show(ShowImageArgs),
    /// Make an image of a root file system of yours, which stays where it is.
    ///
    /// FILE holds an EROFS or an ext4 file system and no partition table. It is never written to; VMs write to disks
    /// of their own that lie over it. As long as VMs start from it, it must stay as it is: one that has changed since
    /// is refused. `banger image promote` gives banger a copy. A qcow2 is unpacked into such a copy at once.
    ///
    /// With --kernel the image brings its own, which goes when the image does. With --initrd too, that one boots it: a
    /// VM's disk then begins as a copy of FILE, an ext4, and nothing lies over anything.
    ///
    /// Prints the image's name on stdout.
    #[command(after_help = "\
Examples:
  banger image register --name mine --rootfs disk.ext4
  banger image register --name mine --rootfs root.erofs --kernel-ref my-kernel
  banger image register --name mine --rootfs disk.ext4 --kernel boot/vmlinuz \\
      --initrd boot/initrd.img --modules lib/modules/6.1.0
  banger vm run --image mine --rm -- cat /etc/os-release")]
    Register(RegisterArgs),
    /// Copy the file of a registered image: yours is needed no more.
    ///
    /// VMs that were made from it go on with the copy. Prints the image's name on stdout.
    #[command(after_help = "\
Examples:
  banger image promote mine && rm disk.ext4")]
    Promote(PromoteArgs),
    /// Build an image by a recipe: packages of Debian's, files, units, commands.
    ///
    /// RECIPE is a TOML file, or `-` for stdin. With `base = "debian-bookworm"`, or another name of the catalog's, it
    /// says only what comes on top. Packages come from the mirror that this host's apt uses, and are checked by the
    /// distribution's signatures. What recipes hold: docs/image-catalog.md.
    ///
    /// Building again under the same name replaces the image; VMs that use it keep what they have. Prints the image's
    /// name on stdout.
    #[command(after_help = "\
Examples:
  banger image build mine -f recipe.toml
  printf 'base = \"debian-minimal\"\\npackages = [\"jq\"]\\n' |
      banger image build mine -f -
  banger vm run --image mine --rm -- jq --version")]
    Build(BuildArgs),
    /// Write an image as a bundle: one file, to publish or to carry elsewhere.
    ///
    /// The file appears once it is whole. If FILE is a folder, it is called NAME-ARCH-HASH.tar.zst there, as a
    /// published bundle must be. `catalog_url` in the configuration of another banger leads to a catalog that lists
    /// it, with the sha256 and size that this prints: docs/image-catalog.md.
    ///
    /// Prints the file's path on stdout.
    #[command(after_help = "\
Examples:
  banger image export app -o app.tar.zst
  banger image export app -o published/ --json | jq .bundle")]
    Export(ExportArgs),
    /// Delete images that no VM uses.
    ///
    /// Prints the name of each on stdout.
    #[command(
        visible_alias = "rm",
        after_help = "\
Examples:
  banger image delete alpine app"
    )]
    Delete(ImageReferencesArgs),
    /// Look after the layers that pulls keep.
    Cache(CacheGroup),
}

/// `banger image list`.
#[derive(Debug, Args)]
pub struct ListImagesArgs {
    /// What it does anyway; for those who are used to `ps -a`.
    #[arg(short, long, hide = true)]
    pub all: bool,
    #[command(flatten)]
    pub listing: ListingArgs,
}

/// `banger image pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// What to pull.
    #[arg(value_name = "IMAGE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reference: String,
    /// Name to give it, 1 to 63 of a-z, 0-9 and `-`.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, value_parser = VmName::parse)]
    pub name: Option<VmName>,
    /// Speak to the registry without TLS: for one on this machine.
    #[arg(long)]
    pub plain_http: bool,
    /// Let the login for this registry go to this token server, now and later: HOST or HOST:PORT.
    #[arg(long, value_name = "HOST", value_parser = realm)]
    pub trust_realm: Option<String>,
    /// Kernel that boots it; the default image's if left out.
    #[arg(long, value_name = "KERNEL", conflicts_with = "kernel")]
    pub kernel_ref: Option<String>,
    #[command(flatten)]
    pub own: OwnKernelArgs,
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// The host of a token server, as messages call it.
fn realm(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if text.is_empty() || !text.bytes().all(plain) || !text.contains(|c: char| c.is_ascii_alphanumeric()) {
        return Err("it must be HOST or HOST:PORT, as the error named it".into());
    }
    let text = text.to_ascii_lowercase();
    Ok(text.strip_suffix(":443").unwrap_or(&text).to_owned())
}

/// A kernel that is the image's own, and goes when the image does.
#[derive(Debug, Args)]
pub struct OwnKernelArgs {
    /// Kernel of its own: an ELF file or a bzImage. Needs --name.
    #[arg(long, value_name = "FILE", requires = "name")]
    pub kernel: Option<PathBuf>,
    /// Folder with that kernel's modules: /lib/modules/VERSION.
    #[arg(long, value_name = "DIR", requires = "kernel")]
    pub modules: Option<PathBuf>,
}

/// `banger image show`.
#[derive(Debug, Args)]
pub struct ShowImageArgs {
    /// Image: its name, or its full name in a registry.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    #[command(flatten)]
    pub output: JsonArgs,
}

/// `banger image register`.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// Name to give it, 1 to 63 of a-z, 0-9 and `-`.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, value_parser = VmName::parse)]
    pub name: VmName,
    /// The file.
    #[arg(long, value_name = "FILE")]
    pub rootfs: PathBuf,
    /// Kernel that boots it; the default image's if left out.
    #[arg(long, value_name = "KERNEL", conflicts_with = "kernel")]
    pub kernel_ref: Option<String>,
    #[command(flatten)]
    pub own: OwnKernelArgs,
    /// Initrd of its own, which finds the root by itself.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// What /root of each VM gets at its first start: a tar, or an ext4 that is never mounted. It is copied.
    #[arg(long, value_name = "FILE")]
    pub work_seed: Option<PathBuf>,
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `banger image promote`.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// Image.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `banger image build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Name to give it, 1 to 63 of a-z, 0-9 and `-`.
    #[arg(value_name = "NAME", allow_hyphen_values = true, value_parser = VmName::parse)]
    pub name: VmName,
    /// The recipe; `-` for stdin.
    #[arg(short, long, value_name = "RECIPE")]
    pub file: PathBuf,
    /// Kernel that boots it; the default image's if left out.
    #[arg(long, value_name = "KERNEL")]
    pub kernel_ref: Option<String>,
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// `banger image export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Image: its name, or its full name in a registry.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// File to write, or the folder for it.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Several images.
#[derive(Debug, Args)]
pub struct ImageReferencesArgs {
    /// Images: names, or full names in a registry.
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// `banger image cache`.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct CacheGroup {
    /// What to do.
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// The verbs of `banger image cache`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Remove layers that were kept to be fetched only once, and files that no image and no VM uses.
    ///
    /// Images stay; pulling one again fetches its layers again.
    #[command(after_help = "\
Examples:
  banger image cache prune --dry-run
  banger image cache prune")]
    Prune(CachePruneArgs),
}

/// `banger image cache prune`.
#[derive(Debug, Args)]
pub struct CachePruneArgs {
    /// Only tell what would go.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: JsonArgs,
}
