//! `banger vm workspace`: its verbs and their flags, and those of `vm run PATH`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::JsonArgs;
use super::vm::ReferenceArgs;

/// Where workspaces lie in guests unless told otherwise.
pub const GUEST_PATH: &str = "/root/repo";

/// `banger vm workspace`.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  banger vm workspace prepare box         this repository, into the VM box
  banger vm workspace diff box            what was changed there
  banger vm workspace apply box           bring it back into your files
  banger vm workspace pull box            bring its commits onto a branch
  banger vm workspace status box

`banger vm run PATH` makes a VM with a workspace in it."
)]
pub struct WorkspaceGroup {
    /// What to do.
    #[command(subcommand)]
    pub command: WorkspaceCommand,
}

/// The verbs of `banger vm workspace`.
#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// Copy a git repository into a running VM, or bring the copy up to date.
    ///
    /// What git tracks goes, as it is in your working tree, uncommitted changes included; files that git ignores
    /// never go. In the VM it is a repository of its own, at the same commit and branch, with the same changes
    /// staged and unstaged. Your hooks, credentials and other settings stay here; your name and address go along.
    ///
    /// The second time only what changed is sent. Work that was made in the VM is not overwritten: its files are
    /// named, and `apply` brings them back.
    #[command(after_help = "\
Examples:
  banger vm workspace prepare box
  banger vm workspace prepare box ~/src/site --include-untracked
  banger vm workspace prepare box --dry-run
  banger vm workspace prepare box --from v1.2 --branch fix/1.2 --mode full")]
    Prepare(PrepareArgs),
    /// Print what was changed in a workspace as a patch.
    ///
    /// One patch of commits, uncommitted changes and new files that are not ignored, since the commit that was
    /// prepared: `git apply` takes it on any clone. Nothing of the VM's repository changes. Binary files are in it.
    #[command(after_help = "\
Examples:
  banger vm workspace export box -o box.patch
  banger vm workspace export box | git -C ../clone apply
  banger vm workspace export box --base HEAD~2")]
    Export(ExportWorkspaceArgs),
    /// Show what was changed in a workspace since it was prepared.
    ///
    /// As a patch against what went in, your uncommitted changes included: what `apply` would bring.
    #[command(after_help = "\
Examples:
  banger vm workspace diff box
  banger vm workspace diff box | diffstat")]
    Diff(DiffArgs),
    /// Bring what was changed in a workspace back into your files.
    ///
    /// All of it or nothing: a patch that does not fit your files changes none of them. Your index and your
    /// uncommitted changes stay. No hook, filter or other program is run, and nothing of the VM's `.git` comes along.
    ///
    /// What could run by itself here or lead out of the tree is shown first and needs --allow-risky: links that leave
    /// the tree, changed modes, folders that become repositories, hidden files that are not known to be harmless, and
    /// new files that tools find by their name (a Makefile, a package.json). Changes of those are shown and go on. A
    /// patch that names a path outside of the tree, or in `.git`, is refused whatever the flags.
    #[command(after_help = "\
Examples:
  banger vm workspace apply box
  banger vm workspace apply box --check       would it fit?
  banger vm workspace apply box --3way        merge where it does not
  banger vm workspace apply box --branch try/one
  banger vm workspace apply box --allow-risky")]
    Apply(ApplyArgs),
    /// Bring the commits of a workspace onto a branch here.
    ///
    /// With their messages and authors, as they are in the VM; your files and your branch stay as they are. The
    /// objects are checked by git's strictest rules, aside from your repository, before they become part of it;
    /// nothing else of the VM's `.git` comes along. What is not committed there does not come: see `apply`.
    ///
    /// A branch that is there is moved on if the commits follow it and it is checked out nowhere. What could run by
    /// itself is shown first and needs --allow-risky, as with `apply`.
    #[command(after_help = "\
Examples:
  banger vm workspace pull box                    onto the branch banger/box
  banger vm workspace pull box --branch try/one
  git log -p main..banger/box                     what has come")]
    Pull(PullWorkspaceArgs),
    /// Tell what workspaces a VM has, and whether here or there something moved on.
    #[command(after_help = "\
Examples:
  banger vm workspace status box
  banger vm workspace status box --json")]
    Status(StatusArgs),
}

/// How much of the history goes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// The commit alone.
    #[default]
    Shallow,
    /// All commits before it, and submodules that are checked out.
    Full,
    /// The commit without its files, which git in the VM fetches from the remote when they are wanted.
    Metadata,
}

/// What of a repository goes.
#[derive(Clone, Debug, Default, Args)]
pub struct ChoiceArgs {
    /// Be on this branch in the VM, a new one.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub branch: Option<String>,
    /// This commit, branch or tag instead of the working tree.
    #[arg(long, value_name = "REF", conflicts_with = "include_untracked")]
    pub from: Option<String>,
    /// Files that git does not track go too; ignored ones never.
    #[arg(long)]
    pub include_untracked: bool,
    /// List the files that would go, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Use the objects that the repository borrows of others (`git clone --shared`, `--reference`).
    #[arg(long)]
    pub allow_alternates: bool,
}

/// Where the workspace lies in the guest.
#[derive(Debug, Args)]
pub struct GuestPathArgs {
    /// Folder of the workspace in the VM.
    #[arg(long, value_name = "PATH", default_value = GUEST_PATH, value_parser = absolute)]
    pub guest_path: String,
}

fn absolute(path: &str) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    let sound = path.starts_with('/') && !path.split('/').any(|name| name == ".." || name == ".");
    let words = "a path from the root, below it: /root/repo";
    (sound && !path.contains(['\0', '\n']))
        .then(|| path.to_owned())
        .ok_or_else(|| words.to_owned())
}

/// `banger vm workspace prepare`.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    /// A path in the repository; the current folder if left out.
    #[arg(value_name = "PATH", default_value = ".", hide_default_value = true)]
    pub path: PathBuf,
    /// shallow: the commit alone; full: its history and checked-out submodules, too; metadata: the commit without its
    /// files, which git in the VM fetches from the remote when they are wanted.
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub mode: ModeArg,
    #[command(flatten)]
    pub choice: ChoiceArgs,
    #[command(flatten)]
    pub guest: GuestPathArgs,
    /// User in the VM whom the workspace belongs to, by name or number; the one before, the image's or root if left out.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Replace what lies there, also work that was made in the VM.
    #[arg(short, long)]
    pub force: bool,
    /// Show no progress and no notes.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `banger vm workspace export`.
#[derive(Debug, Args)]
pub struct ExportWorkspaceArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    #[command(flatten)]
    pub guest: GuestPathArgs,
    /// A commit of the VM's repository; the one that was prepared if left out.
    #[arg(long, value_name = "COMMIT")]
    pub base: Option<String>,
    /// Write it to this file, whole or not at all.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `banger vm workspace diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    #[command(flatten)]
    pub guest: GuestPathArgs,
}

/// `banger vm workspace apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    /// A path in the repository; where the workspace came from if left out.
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub guest: GuestPathArgs,
    /// Say whether it fits and what it would bring, and change nothing.
    #[arg(long)]
    pub check: bool,
    /// Where it does not fit, merge it with the older version that it is made against.
    #[arg(long = "3way", conflicts_with = "branch")]
    pub three_way: bool,
    /// Make a branch with it, and leave the files as they are.
    #[arg(
        long,
        value_name = "NAME",
        allow_hyphen_values = true,
        conflicts_with = "check"
    )]
    pub branch: Option<String>,
    /// Apply what was shown as risky, too.
    #[arg(long)]
    pub allow_risky: bool,
    /// Say nothing but what is wrong.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `banger vm workspace pull`.
#[derive(Debug, Args)]
pub struct PullWorkspaceArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    #[command(flatten)]
    pub guest: GuestPathArgs,
    /// The branch; banger/NAME, after the VM, if left out.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub branch: Option<String>,
    /// Take what was shown as risky, too.
    #[arg(long)]
    pub allow_risky: bool,
    /// Say nothing but what is wrong.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `banger vm workspace status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    #[command(flatten)]
    pub output: JsonArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_a_guest_is_a_path_from_its_root() {
        assert_eq!(absolute("/srv/site/").unwrap(), "/srv/site");
        for bad in ["", "/", "srv", "~/x", "/a/../b", "/a/./b", "/a\nb"] {
            assert!(absolute(bad).is_err(), "{bad:?}");
        }
    }
}
