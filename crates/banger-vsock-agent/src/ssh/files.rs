//! What sshd reads: keys and configuration, in `/run/banger/ssh`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use guest::{Problem, Ssh};

use crate::configure::files::{about, replace};
use crate::problem::bad_request;

/// Where they lie.
const FOLDER: &str = "run/banger/ssh";

/// The folder that sshd locks itself into while it does not know the client yet; Debian's unit makes it, and takes it
/// away again.
const EMPTY: &str = "run/sshd";

/// How an OpenSSH private key begins.
const PRIVATE_KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n";

/// Longest key.
const LONGEST_KEY: usize = 64 << 10;

/// The files of one guest.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
}

/// Refuses what sshd would stumble over, or read as something else.
pub(super) fn check(ssh: &Ssh) -> Result<(), Problem> {
    let key = &ssh.host_key;
    if !key.starts_with(PRIVATE_KEY) || key.len() > LONGEST_KEY || key.contains('\0') {
        return Err(bad_request("the host key is no OpenSSH private key"));
    }
    for line in &ssh.authorized_keys {
        if line.is_empty() || line.len() > LONGEST_KEY || line.contains(char::is_control) {
            return Err(bad_request("an authorized key is not one line"));
        }
    }
    Ok(())
}

impl Files {
    pub(super) fn below(root: PathBuf) -> Self {
        Self { root }
    }

    /// Writes what has changed; gives the configuration's path.
    pub(super) fn write(&self, ssh: &Ssh, variables: &BTreeMap<String, String>) -> io::Result<PathBuf> {
        let folder = self.root.join(FOLDER);
        for folder in [folder.as_path(), &self.root.join(EMPTY)] {
            make_folder(folder).map_err(about(folder))?;
        }
        // Not without it where the image has it, also while the machine boots and PAM tells everybody to come back later:
        // it lets root in, and without it a user without a password counts as locked.
        let pam = self.root.join("etc/pam.d/sshd").exists();
        let files = [
            ("host_key", 0o600, ssh.host_key.clone()),
            // Read by the one who logs in.
            ("authorized_keys", 0o644, lines(&ssh.authorized_keys)),
            // Variables may be secrets.
            ("sshd_config", 0o600, config(&folder, pam, variables)),
        ];
        for (name, mode, content) in files {
            let path = folder.join(name);
            replace(&path, content.as_bytes(), mode).map_err(about(&path))?;
        }
        Ok(folder.join("sshd_config"))
    }
}

/// A folder that everybody may enter, whatever this process's mask is.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

fn lines(keys: &[String]) -> String {
    keys.iter().flat_map(|key| [key, "\n"]).collect()
}

/// The configuration. Forwarding and subsystems are what ssh users and editors expect; passwords are nobody's way in.
fn config(folder: &Path, pam: bool, variables: &BTreeMap<String, String>) -> String {
    let folder = folder.display();
    let pam = if pam { "yes" } else { "no" };
    let mut text = format!(
        "# Written by banger's agent, for connections that come through it.\n\
         HostKey {folder}/host_key\n\
         AuthorizedKeysFile {folder}/authorized_keys\n\
         # The keys lie in a folder of root's and not in the user's home.\n\
         StrictModes no\n\
         PermitRootLogin prohibit-password\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         UsePAM {pam}\n\
         UseDNS no\n\
         PrintMotd no\n\
         PrintLastLog no\n\
         X11Forwarding yes\n\
         MaxSessions 100\n\
         # No locale of the host's, which the guest need not have: its own counts, as in every other way in.\n\
         AcceptEnv COLORTERM\n\
         Subsystem sftp internal-sftp\n"
    );
    let variables: String = variables
        .iter()
        .filter_map(|(name, value)| variable(name, value))
        .collect();
    if !variables.is_empty() {
        // Only the first such line counts.
        let _ = writeln!(text, "SetEnv{variables}");
    }
    text
}

/// A variable as a word of the configuration; none where its format has no way to write it.
fn variable(name: &str, value: &str) -> Option<String> {
    let writable = |text: &str| !text.contains(char::is_control);
    if !writable(name) || !writable(value) {
        return None;
    }
    let quoted = format!("{name}={value}")
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    Some(format!(" \"{quoted}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh() -> Ssh {
        Ssh {
            authorized_keys: vec!["ssh-ed25519 AAAA one".into()],
            host_key: format!("{PRIVATE_KEY}AAAA\n"),
        }
    }

    #[test]
    fn keys_that_are_none_are_refused_before_they_are_written() {
        assert_eq!(check(&ssh()), Ok(()));
        let host_keys = ["", "hello", "-----BEGIN OPENSSH PRIVATE KEY-----\n\0"];
        for host_key in host_keys {
            let ssh = Ssh {
                host_key: host_key.into(),
                ..ssh()
            };
            assert!(check(&ssh).is_err(), "{host_key:?}");
        }
        for key in ["", "a\nb", "a\r"] {
            let ssh = Ssh {
                authorized_keys: vec![key.into()],
                ..ssh()
            };
            assert!(check(&ssh).is_err(), "{key:?}");
        }
    }

    #[test]
    fn secrets_are_roots_alone_and_the_images_files_stay_as_they_are() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc/ssh");
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("sshd_config"), "of the image").unwrap();
        let files = Files::below(root.path().to_owned());
        for _ in 0..2 {
            let config = files.write(&ssh(), &BTreeMap::new()).unwrap();
            for (name, mode) in [
                ("host_key", 0o600),
                ("authorized_keys", 0o644),
                ("sshd_config", 0o600),
            ] {
                let found = fs::metadata(config.with_file_name(name)).unwrap();
                assert_eq!(found.permissions().mode() & 0o777, mode, "{name}");
            }
        }
        assert_eq!(
            fs::read_to_string(etc.join("sshd_config")).unwrap(),
            "of the image"
        );
        assert!(!root.path().join("root/.ssh").exists());
    }

    #[test]
    fn no_locale_is_taken_from_the_client() {
        let text = config(Path::new("/x"), true, &BTreeMap::new());
        let accepted: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("AcceptEnv"))
            .collect();
        assert_eq!(accepted, ["AcceptEnv COLORTERM"]);
    }

    #[test]
    fn variables_are_one_line_whatever_is_in_them() {
        let variables = BTreeMap::from([
            ("A".to_owned(), "b c".to_owned()),
            ("Q".to_owned(), "say \"hi\" \\o/".to_owned()),
            ("TWO".to_owned(), "lines\nPermitRootLogin yes".to_owned()),
        ]);
        let text = config(Path::new("/x"), false, &variables);
        assert!(
            text.ends_with("\nSetEnv \"A=b c\" \"Q=say \\\"hi\\\" \\\\o/\"\n"),
            "{text}"
        );
    }
}
