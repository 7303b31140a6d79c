//! What a git of ours sees of the host, and what it may take: the wall behind all that is checked before.
//!
//! ```text
//!  /usr, …             programs            read
//!  the working tree    and its repository  read; parts of it written where commits or a branch are made
//!  /tmp                                    its own, in memory
//!  home, network, other processes, /proc   not there
//! ```

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use process::{Confinement, Kind, Limits, SystemCalls};
use rustix::process::{getegid, geteuid};

use crate::host::{Host, Program};
use crate::owner::Owner;

/// Bytes of its folder for temporary files.
const SCRATCH: u64 = 256 << 20;
/// Most memory: an index of some millions of files, and the objects of a large history.
const MEMORY: u64 = 4 << 30;
/// Most bytes of a file that it writes: a pack, or a file that a filter keeps.
const LARGEST_FILE: u64 = 16 << 30;
const FILES: u64 = 1024;
const PROCESSES: u64 = 4096;

/// Files and folders of the host, by canonical paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    pub(crate) read: Vec<PathBuf>,
    pub(crate) written: Vec<PathBuf>,
    /// Folders of ours, to which the way is nobody else's to change.
    pub(crate) ours_read: Vec<PathBuf>,
    pub(crate) ours_written: Vec<PathBuf>,
    /// Programs of the user's.
    pub(crate) programs: Vec<Program>,
    /// Whom root becomes: the owner of what is looked at, who can change all of `read` and `written`.
    pub(crate) owner: Option<Owner>,
}

impl Sight {
    pub(crate) fn confinement(&self, host: &Host) -> Confinement {
        let mut confinement = Confinement::new(0);
        let (own_user, own_group) = (geteuid().as_raw(), getegid().as_raw());
        let Owner { user, group } = self.owner.unwrap_or(Owner {
            user: own_user,
            group: own_group,
        });
        confinement.become_user(user, group).show_programs();
        for device in ["/dev/null", "/dev/zero", "/dev/urandom"] {
            confinement.device(device);
        }
        confinement.scratch("/tmp", SCRATCH);
        // The host's own rules for all repositories.
        let attributes = Path::new("/etc/gitattributes");
        if attributes.is_file() {
            confinement.show(attributes, attributes);
        }
        let ours = self.ours_read.iter().map(|path| (path, true));
        let mut read: Vec<_> = self.read.iter().map(|path| (path, false)).chain(ours).collect();
        // Outer ones first: an inner one comes over them.
        read.sort_by_key(|(path, _)| path.components().count());
        let programs = host.parts.iter().chain(&self.programs);
        for Program { source, at } in
            programs.filter(|program| !read.iter().any(|(path, _)| program.at.starts_with(path)))
        {
            confinement.show(source, at);
        }
        for (path, ours) in read {
            match ours {
                true => confinement.show(path, path),
                false => confinement.show_of_user(path, path),
            };
        }
        for path in &self.written {
            confinement.show_writable_of_user(path, path);
        }
        for path in &self.ours_written {
            confinement.show_writable(path, path);
        }
        confinement
    }

    /// What it may take.
    pub(crate) fn limits(time: Duration) -> Limits {
        Limits {
            address_space: None,
            data: Some(MEMORY),
            file_size: Some(LARGEST_FILE),
            open_files: Some(FILES),
            processes: Some(PROCESSES),
            cpu: Some(time),
        }
    }

    /// What it may ask of the kernel.
    pub(crate) fn system_calls() -> SystemCalls {
        static DENIED: OnceLock<SystemCalls> = OnceLock::new();
        DENIED.get_or_init(|| SystemCalls::deny(&Kind::ALL)).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::process::Command;

    use crate::git::Git;
    use crate::repository::Repository;

    fn succeeds(git: &Git, arguments: &[&OsStr]) -> bool {
        let output = git.output("try", arguments.iter().copied()).unwrap();
        output.status.success()
    }

    #[test]
    fn a_git_that_makes_a_branch_can_write_no_setting_and_no_hook() {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().canonicalize().unwrap().join("top");
        fs::create_dir(&top).unwrap();
        let secret = place.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::write(top.join("README"), "text\n").unwrap();
        for arguments in [
            "init -q .",
            "add README",
            "-c user.name=a -c user.email=a@b commit -qm first",
        ] {
            let status = Command::new("git")
                .args(arguments.split(' '))
                .current_dir(&top)
                .status();
            assert!(status.unwrap().success());
        }
        let repository = Repository::find(&top).unwrap();
        let reading = &repository.git;
        let making = repository.git_for_branches().unwrap();
        let before = fs::read(top.join(".git/config")).unwrap();
        for git in [reading, &making] {
            for seen in [
                secret.as_path(),
                "/etc/passwd".as_ref(),
                "/proc/self/status".as_ref(),
            ] {
                assert!(
                    !succeeds(git, &["hash-object".as_ref(), seen.as_os_str()]),
                    "{}",
                    seen.display()
                );
            }
            assert!(succeeds(
                git,
                &["hash-object".as_ref(), top.join("README").as_os_str()]
            ));
            for file in [
                ".git/config",
                ".git/hooks/pre-commit",
                ".git/HEAD",
                ".git/info/attributes",
                "README",
                "new",
            ] {
                let file = top.join(file);
                let set = [
                    "config".as_ref(),
                    "--file".as_ref(),
                    file.as_os_str(),
                    "a.b".as_ref(),
                    "c".as_ref(),
                ];
                assert!(!succeeds(git, &set), "{}", file.display());
            }
        }
        let keep = ["hash-object", "-w", "README"].map(OsStr::new);
        let branch = ["update-ref", "refs/heads/other", "HEAD"].map(OsStr::new);
        assert!(!succeeds(reading, &keep) && !succeeds(reading, &branch));
        assert!(succeeds(&making, &keep) && succeeds(&making, &branch));
        assert!(top.join(".git/refs/heads/other").is_file());
        assert!(top.join(".git/logs/refs/heads/other").is_file());
        assert_eq!(fs::read(top.join(".git/config")).unwrap(), before);
    }
}
