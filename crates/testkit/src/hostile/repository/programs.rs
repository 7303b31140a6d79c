//! Settings and hooks by which a repository has git run its program.

use std::fs;
use std::io;
use std::path::Path;

use super::Trap;
use super::ground::{Ground, header, setting, write};
use crate::Dice;

/// Names of drivers. git compares bytes, and a setting by environment can name not all of them.
const DRIVERS: [&[u8]; 6] = [b"evil", b"e\xffvil", b"e=vil", b"e.vil", b"\"e\\vil", b"-evil"];

/// Hooks that git runs when it looks at a repository, writes an index, a ref or a commit, or takes what comes.
const HOOKS: [&str; 14] = [
    "applypatch-msg",
    "commit-msg",
    "fsmonitor-watchman",
    "post-applypatch",
    "post-checkout",
    "post-index-change",
    "post-rewrite",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "prepare-commit-msg",
    "reference-transaction",
    "sendpack",
    "update",
];

/// Settings that name a program, which no single command of a plain git runs.
const OTHERS: [&str; 26] = [
    "core.alternateRefsCommand",
    "core.askPass",
    "core.pager",
    "diff.tool",
    "difftool.evil.cmd",
    "gpg.openpgp.program",
    "gpg.ssh.defaultKeyCommand",
    "gpg.ssh.program",
    "guitool.evil.cmd",
    "interactive.diffFilter",
    "lfs.customtransfer.evil.path",
    "merge.evil.recursive",
    "mergetool.evil.cmd",
    "pager.diff",
    "pager.status",
    "receive.procReceiveRefs",
    "remote.origin.receivepack",
    "sendemail.smtpServer",
    "sequence.editor",
    "submodule.evil.update",
    "trace2.eventTarget",
    "trace2.normalTarget",
    "trailer.evil.command",
    "uploadpack.packObjectsHook",
    "browser.evil.cmd",
    "man.evil.cmd",
];

pub(super) fn plant(trap: Trap, ground: &Ground, dice: &mut Dice) -> io::Result<()> {
    let canary = ground.canary().display().to_string();
    let set = |key: &str| ground.set(key, &canary);
    let helper = format!("ext::{canary} %S");
    match trap {
        Trap::FilterClean => drivers(ground, dice, "filter", &["clean", "smudge"]),
        Trap::FilterProcess => drivers(ground, dice, "filter", &["process"]),
        Trap::DiffTextconv => drivers(ground, dice, "diff", &["textconv"]),
        Trap::DiffCommand => drivers(ground, dice, "diff", &["command"]),
        Trap::MergeDriver => {
            drivers(ground, dice, "merge", &["driver"])?;
            another_branch(ground)
        }
        Trap::DiffExternal => set("diff.external"),
        Trap::Fsmonitor => set("core.fsmonitor"),
        Trap::HooksPath => {
            hooks(ground, &ground.site().join("tools/hooks"))?;
            ground.set("core.hooksPath", "tools/hooks")
        }
        Trap::Hooks => hooks(ground, &ground.own("hooks")),
        Trap::Editor => set("core.editor"),
        Trap::GpgProgram => {
            set("gpg.program")?;
            ground.set("commit.gpgSign", "true")?;
            ground.set("tag.gpgSign", "true")
        }
        Trap::CredentialHelper => ground.set("credential.helper", &format!("!{canary}")),
        Trap::Alias => ground.set("alias.evil", &format!("!{canary}")),
        Trap::SshCommand => {
            ground.set("remote.evil.url", "ssh://example.com/x")?;
            set("core.sshCommand")
        }
        Trap::GitProxy => {
            ground.set("remote.evil.url", "git://example.com/x")?;
            set("core.gitProxy")
        }
        Trap::UploadPack => {
            let url = ground.private().display().to_string();
            ground.set("remote.evil.url", &url)?;
            set("remote.evil.uploadpack")
        }
        Trap::RemoteHelper => {
            ground.set("protocol.allow", "always")?;
            ground.set("protocol.ext.allow", "always")?;
            ground.set("remote.evil.url", &helper)?;
            ground.set("remote.origin.url", &helper)
        }
        Trap::InsteadOf => {
            ground.set("protocol.ext.allow", "always")?;
            ground.set("remote.evil.url", "https://example.com/x")?;
            ground.set(&format!("url.{helper}.insteadOf"), "https://")
        }
        Trap::Promisor => promisor(ground, &helper),
        Trap::Include => include(ground, dice, &canary),
        Trap::WorktreeSettings => {
            ground.set("extensions.worktreeConfig", "true")?;
            let mut text = Vec::new();
            header(&mut text, "core", None);
            setting(&mut text, "fsmonitor", &canary);
            fs::write(ground.own("config.worktree"), text)
        }
        Trap::OtherPrograms => {
            for key in OTHERS {
                set(key)?;
            }
            ground.set("gc.auto", "1")?;
            ground.set("log.showSignature", "true")?;
            ground.set("status.submoduleSummary", "true")
        }
        _ => Ok(()),
    }
}

/// A driver for each file, by attributes of the tree.
fn drivers(ground: &Ground, dice: &mut Dice, kind: &str, keys: &[&str]) -> io::Result<()> {
    let driver = *dice.one_of(&DRIVERS);
    let canary = ground.canary().display().to_string();
    let mut text = Vec::new();
    header(&mut text, kind, Some(driver));
    for key in keys {
        setting(&mut text, key, &canary);
    }
    if dice.once_in(3) && kind == "filter" {
        setting(&mut text, "required", "true");
    }
    ground.append(".git/config", &text)?;
    // As it is, or by the name of a macro.
    let attribute = [kind.as_bytes(), b"=", driver].concat();
    let attributes = match dice.once_in(2) {
        true => [b"[attr]harmless ", &*attribute, b"\n* harmless\n"].concat(),
        false => [b"* ", &*attribute, b"\n"].concat(),
    };
    ground.append(".gitattributes", &attributes)
}

/// A branch that changes what the checked-out one has changed since.
fn another_branch(ground: &Ground) -> io::Result<()> {
    ground.git(&["checkout", "-q", "-b", "theirs"])?;
    fs::write(ground.site().join("src/old.c"), "int theirs;\n")?;
    ground.git(&["commit", "-qm", "theirs", "src/old.c"])?;
    ground.git(&["checkout", "-q", "main"])?;
    fs::write(ground.site().join("src/old.c"), "int ours;\n")?;
    ground.git(&["commit", "-qm", "ours", "src/old.c"])?;
    Ok(())
}

fn hooks(ground: &Ground, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for hook in HOOKS {
        fs::copy(ground.canary(), folder.join(hook))?;
    }
    Ok(())
}

/// A missing file, to be had by a remote helper that is a command.
fn promisor(ground: &Ground, helper: &str) -> io::Result<()> {
    let blob = ground.git(&["rev-parse", "HEAD:src/old.c"])?;
    ground.set("core.repositoryFormatVersion", "1")?;
    ground.set("extensions.partialClone", "evil")?;
    ground.set("protocol.ext.allow", "always")?;
    ground.set("remote.evil.url", helper)?;
    ground.set("remote.evil.promisor", "true")?;
    let (folder, file) = blob.split_at(2);
    fs::remove_file(ground.own("objects").join(folder).join(file))
}

/// A setting in a file of the tree that the repository's settings include.
fn include(ground: &Ground, dice: &mut Dice, canary: &str) -> io::Result<()> {
    let mut text = Vec::new();
    header(&mut text, "core", None);
    setting(&mut text, "fsmonitor", canary);
    write(&ground.site().join("tools/settings"), text)?;
    let key = *dice.one_of(&[
        "include.path",
        "includeIf.gitdir:**.path",
        "includeIf.gitdir/i:**/SITE/.git.path",
        "includeIf.onbranch:ma*.path",
        "includeIf.hasconfig:remote.*.url:https://**.path",
    ]);
    ground.set(key, "../tools/settings")
}

/// Arguments of a plain git that runs the program.
pub(super) fn shown_by(trap: Trap) -> Option<&'static [&'static str]> {
    const COMMIT: &[&str] = &["commit", "-q", "--allow-empty", "-m", "x"];
    Some(match trap {
        Trap::FilterClean | Trap::FilterProcess => &["add", "README"],
        Trap::DiffTextconv | Trap::DiffCommand | Trap::DiffExternal => &["diff"],
        Trap::MergeDriver => &["merge", "-q", "--no-edit", "theirs"],
        Trap::Fsmonitor | Trap::Include | Trap::WorktreeSettings => &["status"],
        Trap::Hooks | Trap::HooksPath | Trap::GpgProgram => COMMIT,
        Trap::Editor => &["commit", "--allow-empty"],
        Trap::CredentialHelper => &["credential", "fill"],
        Trap::Alias => &["evil"],
        Trap::SshCommand | Trap::GitProxy | Trap::UploadPack | Trap::RemoteHelper | Trap::InsteadOf => {
            &["ls-remote", "evil"]
        }
        Trap::Promisor => &["cat-file", "-p", "HEAD:src/old.c"],
        _ => return None,
    })
}
