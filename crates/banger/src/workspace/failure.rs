//! Errors of workspaces with what the user can do about them.

use std::error::Error;

use workspace::WorkspaceError;

use crate::failure::{Failure, USAGE};

/// The error as a user reads it. `vm` is the VM's name.
pub fn failed(vm: &str, error: &WorkspaceError) -> Failure {
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
    match hint(vm, error) {
        Some((hint, code)) => failure.with_hint(hint).with_code(code),
        None => failure,
    }
}

fn hint(vm: &str, error: &WorkspaceError) -> Option<(String, u8)> {
    use WorkspaceError as E;
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
        E::Extension { .. } => "`git clone` it, and name the clone".to_owned(),
        E::NoGit(_) | E::OldGit { .. } => "install git on this host, or a newer one".to_owned(),
        E::Missing { .. } => "name a folder of this host; a command comes after `--`".to_owned(),
        E::NotARepository { .. } => {
            "`git init` and a commit make it one; `banger vm cp` copies folders that are none".to_owned()
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
            format!("`banger vm workspace prepare {vm} --mode full` takes those along that are checked out")
        }
        E::NoRemote => "--mode shallow sends the files".to_owned(),
        E::NoSuchCommit { .. } => "`git log --oneline --all` lists commits".to_owned(),
        E::BadBranch { .. } => return Some(("for example --branch try/one".to_owned(), USAGE)),
        E::BranchTaken { .. } => "another name, or `git branch -D` first".to_owned(),
        E::NoCommit => "`banger vm workspace apply` brings back what is not committed".to_owned(),
        E::Objects { .. } => {
            "`banger vm workspace apply --branch NAME` brings the changes as one commit".to_owned()
        }
        E::NoGitInGuest => format!("install it: banger vm exec {vm} -- apt-get install -y git"),
        E::Occupied { .. } => "--guest-path names another place, --force replaces what is there".to_owned(),
        E::Lost { .. } => {
            format!("`banger vm workspace prepare {vm}` puts one there; --force if files are in its way")
        }
        E::GuestWork { .. } => format!(
            "`banger vm workspace apply {vm}` brings them back; --force replaces them, and keeps them in the guest as \
             refs/banger/replaced"
        ),
        E::NoBase { .. } => {
            format!("`banger vm workspace prepare {vm}` notes one; --base names a commit of the guest's")
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
            format!("`banger vm workspace export {vm} -o FILE` keeps what the guest says, to be looked at")
        }
        _ => return None,
    };
    Some((hint, 1))
}
