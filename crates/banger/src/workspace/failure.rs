//! Errors of workspaces with what the user can do about them.

use std::error::Error;
use std::path::Path;

use workspace::WorkspaceError;

use crate::cli::GUEST_PATH;
use crate::failure::{Failure, USAGE};
use crate::ssh::quote;

/// A verb of `vm workspace` for a workspace of a VM's, as the user's shell takes it.
pub fn command(verb: &str, vm: &str, guest_path: &str) -> String {
    if guest_path == GUEST_PATH {
        return format!("banger vm workspace {verb} {vm}");
    }
    let path = shell(guest_path.as_ref());
    format!("banger vm workspace {verb} {vm} --guest-path {path}")
}

/// A path as the user's shell takes it.
fn shell(path: &Path) -> String {
    quote(path.as_os_str()).to_string_lossy().into_owned()
}

/// The error as a user reads it. `vm` is the VM's name.
pub fn failed(vm: &str, error: &WorkspaceError) -> Failure {
    failed_at(vm, GUEST_PATH, error)
}

/// The same of a workspace that may be elsewhere in the VM than it usually is.
pub fn failed_at(vm: &str, guest_path: &str, error: &WorkspaceError) -> Failure {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Without the system's numbers.
        let text = text.split(" (os error").next().unwrap_or_default();
        message.push_str(&format!(": {text}"));
        cause = error.source();
    }
    let failure = Failure::new(message);
    match hint(vm, guest_path, error) {
        Some((hint, code)) => failure.with_hint(hint).with_code(code),
        None => failure,
    }
}

fn hint(vm: &str, guest_path: &str, error: &WorkspaceError) -> Option<(String, u8)> {
    use WorkspaceError as E;
    let command = |verb: &str| command(verb, vm, guest_path);
    let hint = match error {
        E::ForeignOwner { path } => {
            format!("`git config --global --add safe.directory {}` trusts it", path.display())
        }
        E::OutOfReach { user, .. } => format!(
            "root works there with its owner's rights: `chmod a+x` for the folders above it, or `chown -R root` if user \
             {user} is not to have it"
        ),
        E::Rights { user, .. } => format!("run banger as user {user}, or as root with all of root's rights"),
        E::Borrows { .. } => {
            "--allow-alternates takes them along, if they are yours to share; without: `git repack -ad`, then remove \
             .git/objects/info/alternates"
                .to_owned()
        }
        E::LeadsOut { .. } => {
            "only your own settings may: `git config --global` sets one, `git config --unset` removes this one"
                .to_owned()
        }
        E::NoSetting { .. } => "`git config --list` in the repository shows what git makes of it".to_owned(),
        E::Extension { .. } => {
            "if git itself takes it, `git clone` it and name the clone; else a newer git made it".to_owned()
        }
        E::NoGit(_) | E::OldGit { .. } => "install git on this host, or a newer one".to_owned(),
        E::Missing { .. } => "name a folder of this host; a command comes after `--`".to_owned(),
        E::NotARepository { .. } => {
            "`git init` and a commit make it one; `banger vm cp` copies folders that are none".to_owned()
        }
        E::Dangling { file, .. } => {
            let tree = shell(file.parent().unwrap_or(file));
            format!(
                "if it was moved: `git worktree repair {tree}` there, where it is now; else `git clone` it anew"
            )
        }
        E::Broken { .. } => "`git clone` it anew, or put back what is missing".to_owned(),
        E::LinkedGit { link, target } => {
            let (tree, target) = (shell(link.parent().unwrap_or(link)), shell(target));
            format!(
                "without the link, `git init --separate-git-dir {target} {tree}` has git's own file lead there"
            )
        }
        E::NoFile { path, .. } if path.ends_with(".git/HEAD") => format!(
            "name the branch in it again: echo 'ref: refs/heads/BRANCH' >{}",
            shell(path)
        ),
        E::NoFile { path, .. } if path.ends_with(".git") => {
            "git itself writes `gitdir: PATH` there; `git clone` it anew".to_owned()
        }
        E::Promised { .. } => {
            "`git fetch --refetch --no-filter` gets all of them; --mode metadata has the guest fetch its files by itself"
                .to_owned()
        }
        E::NoSuchUser { .. } => {
            "--user takes a user that the image has, or a number".to_owned()
        }
        E::Bare { .. } => "`git clone` it, and name the clone".to_owned(),
        E::ForeignTree { .. } => {
            "its setting core.worktree leads elsewhere; `git config --unset core.worktree` removes it"
                .to_owned()
        }
        E::ForeignRepository { .. } => {
            "`git worktree repair` there if it is one of yours; else name the repository itself".to_owned()
        }
        E::Submodules { .. } => {
            let prepare = command("prepare");
            format!("`{prepare} --mode full` takes those along that are checked out")
        }
        E::NoRemote => "--mode shallow sends the files".to_owned(),
        E::NoSuchCommit { .. } => "`git log --oneline --all` lists commits".to_owned(),
        E::BadBranch { .. } => return Some(("for example --branch try/one".to_owned(), USAGE)),
        E::BranchTaken { .. } => "another name, or `git branch -D` first".to_owned(),
        E::NoCommit => format!("`{}` brings back what is not committed", command("apply")),
        E::Objects { .. } => {
            let apply = command("apply");
            format!("`{apply} --branch NAME` brings the changes as one commit")
        }
        E::BaseGone { .. } => format!(
            "`{}` brings the changes into your files; `git fsck --lost-found` may find the commit",
            command("apply")
        ),
        E::NoGitInGuest => format!(
            "--image names one that has git; in a VM that stays, `banger vm exec {vm} -- apt-get install -y git`"
        ),
        E::Occupied { .. } => "--guest-path names another place, --force puts what is there aside, as PATH.banger-replaced-1".to_owned(),
        E::Lost { .. } => {
            let prepare = command("prepare");
            format!("`{prepare}` puts one there; --force if files are in its way")
        }
        E::GuestWork { .. } => format!(
            "`{}` brings them back; --force replaces them, and keeps them in the guest: refs/banger/replaced, repositories in .git/banger/replaced/",
            command("apply")
        ),
        E::NoBase { .. } => {
            let prepare = command("prepare");
            format!("`{prepare}` notes one; --base names a commit of the guest's")
        }
        E::Moved { .. } => "try again when nothing writes there".to_owned(),
        E::Conflict { .. } => {
            "--3way tries a merge, --branch NAME puts it on a branch of its own; nothing was changed"
                .to_owned()
        }
        E::InTheWay { .. } => "nothing was changed".to_owned(),
        E::Busy { .. } => "wait until it is done".to_owned(),
        E::NotTakenBack { .. } => format!(
            "`banger vm workspace status {vm}` takes them back, once their folder is in its place and nothing moves it"
        ),
        E::HalfDone { .. } => {
            format!("`banger vm workspace status {vm}` puts the files back, once what failed is mended")
        }
        E::TooMuch { .. } => format!(
            "`banger vm cp {vm}:PATH .` copies large files; ignored by git there, they are no changes"
        ),
        E::NoRoom { .. } => "make room there; nothing was changed".to_owned(),
        E::Patch { .. } | E::TooLarge { .. } => {
            let export = command("export");
            format!("`{export} -o FILE` keeps what the guest says, to be looked at")
        }
        _ => return None,
    };
    Some((hint, 1))
}
