//! What a build runs in.
//!
//! A build runs packages' maintainer scripts. Namespaces of its own for processes, mounts, IPC and the host name keep
//! it from leaving anything behind: when the first process in there dies, the kernel ends the rest and the mounts.
//!
//! As a plain user it also gets a user namespace, in which the user is root and the user's subordinate ids are
//! everybody else. mmdebstrap could make that by itself (`--mode=unshare`), but maps root to a subordinate id, which
//! cannot enter a home that is closed to others. As root there is none: it would need subordinate ids too, which root
//! seldom has, and the scripts are those of packages that the distribution has signed, as for `apt-get install`.

use std::fs;
use std::process::Command;

use crate::error::CatalogError;
use crate::process;

/// As many ids as Debian's packages use: up to `nobody`, 65534.
const IDS_NEEDED: u64 = 65535;

/// unshare(1) up to the point where the program follows.
pub(crate) fn command() -> Command {
    let mut command = process::dying_command("unshare");
    if !is_root() {
        command.args(["--map-root-user", "--map-auto"]);
    }
    command.args([
        "--mount",
        "--pid",
        "--ipc",
        "--uts",
        "--fork",
        "--kill-child=SIGKILL",
        "--",
    ]);
    command
}

/// A user namespace alone, in which the user may remove what a build has made.
pub(crate) fn user_namespace() -> Command {
    let mut command = process::dying_command("unshare");
    command.args(["--map-root-user", "--map-auto", "--"]);
    command
}

/// Checks what [`command`] needs, so that its lack is told in words.
pub(crate) fn check() -> Result<(), CatalogError> {
    process::require("unshare", "util-linux")?;
    if is_root() {
        return Ok(());
    }
    process::require("newuidmap", "uidmap")?;
    let uid = rustix::process::geteuid().as_raw();
    let user = nix::unistd::User::from_uid(uid.into())
        .ok()
        .flatten()
        .map(|user| user.name);
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        if !has_range(&text, user.as_deref(), uid) {
            let user = user.clone().unwrap_or_else(|| uid.to_string());
            return Err(CatalogError::NoSubordinateIds { user, file });
        }
    }
    Ok(())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a subuid(5) file gives the user one range that is large enough.
fn has_range(text: &str, user: Option<&str>, uid: u32) -> bool {
    text.lines().any(|line| {
        let mut fields = line.split(':');
        let (owner, _start, count) = (fields.next(), fields.next(), fields.next());
        let ours = owner.is_some_and(|owner| Some(owner) == user || owner.parse() == Ok(uid));
        ours && count
            .and_then(|count| count.trim().parse::<u64>().ok())
            .is_some_and(|count| count >= IDS_NEEDED)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_belongs_to_the_user_by_name_or_number_and_is_large_enough() {
        for (text, good) in [
            ("ann:100000:65536\n", true),
            ("bob:100000:65536\nann:165536:65536\n", true),
            ("1000:100000:65536\n", true),
            ("", false),
            ("bob:100000:65536\n", false),
            ("ann:100000:1000\n", false),
            ("ann:100000\n", false),
            ("ann:100000:many\n", false),
            ("1001:100000:65536\n", false),
        ] {
            assert_eq!(has_range(text, Some("ann"), 1000), good, "{text:?}");
        }
        assert!(!has_range(":1:65536\n", None, 1000));
    }
}
