//! The settings for `*.vm`, as a file for `ssh -F` and for an `Include`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use api::SshFiles;

use super::SUFFIX;
use super::words::quote;
use crate::failure::Failure;

/// Characters that mean something to a shell. Names that have them are none of banger's, and never reach the command
/// below, whatever the version of ssh makes of them.
const FOREIGN: &str = "$&'();<>[\\]`{|}~\" \t";

/// What ssh is told about VMs, and where.
pub struct Settings {
    text: String,
    path: PathBuf,
}

impl Settings {
    /// For these files and this program.
    ///
    /// # Errors
    /// A path that ssh's format cannot hold.
    pub fn new(files: &SshFiles, program: &Path) -> Result<Self, Failure> {
        let program = program
            .to_str()
            .ok_or_else(|| unusable(&program.display().to_string()))?;
        check(program)?;
        let proxy = quote(OsStr::new(&program.replace('%', "%%")));
        let foreign: String = FOREIGN
            .chars()
            .map(|character| match character {
                '"' => " \"!*\\\"*\"".to_owned(),
                '\\' => " \"!*\\\\*\"".to_owned(),
                character => format!(" \"!*{character}*\""),
            })
            .collect();
        let text = format!(
            "# Written by banger; changes are lost.\n\
             Host *{SUFFIX}{foreign}\n\
             \x20   User root\n\
             \x20   ProxyCommand {proxy} internal ssh-proxy %n\n\
             \x20   IdentityFile {identity}\n\
             \x20   IdentitiesOnly yes\n\
             \x20   PreferredAuthentications publickey\n\
             \x20   UserKnownHostsFile {known_hosts}\n\
             \x20   GlobalKnownHostsFile /dev/null\n\
             \x20   StrictHostKeyChecking yes\n\
             \x20   UpdateHostKeys no\n\
             \x20   CheckHostIP no\n\
             \x20   CanonicalizeHostname no\n\
             \x20   ForwardAgent no\n\
             \x20   ForwardX11 no\n",
            proxy = proxy.to_string_lossy(),
            identity = word(&files.identity_file)?,
            known_hosts = word(&files.known_hosts)?,
        );
        Ok(Self {
            text,
            path: Path::new(&files.known_hosts).with_file_name("config"),
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes the file, unless it is there, and gives its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<&Path, Failure> {
        if std::fs::read(&self.path).is_ok_and(|found| found == self.text.as_bytes()) {
            return Ok(&self.path);
        }
        durable::replace(&self.path, 0o600, self.text.as_bytes())
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", self.path.display())))?;
        Ok(&self.path)
    }
}

/// What ssh calls a VM.
pub fn address(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// A path as a word of ssh's format, where `%` and `${` begin something else.
pub(super) fn word(path: &str) -> Result<String, Failure> {
    check(path)?;
    Ok(format!("\"{}\"", path.replace('%', "%%")))
}

fn check(path: &str) -> Result<(), Failure> {
    let sound = path.starts_with('/')
        && !path.contains(|character: char| character.is_control() || "\"\\".contains(character))
        && !path.contains("${");
    if sound { Ok(()) } else { Err(unusable(path)) }
}

fn unusable(path: &str) -> Failure {
    Failure::new(format!(
        "ssh's configuration cannot hold the path {:?}",
        OsStr::from_bytes(path.as_bytes())
    ))
    .with_hint("XDG_STATE_HOME puts banger's files elsewhere")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn settings(folder: &str) -> Result<Settings, Failure> {
        let files = SshFiles {
            identity_file: format!("{folder}/id_ed25519"),
            known_hosts: format!("{folder}/known_hosts"),
        };
        Settings::new(&files, Path::new("/opt/my tools/ban%ger"))
    }

    /// What ssh makes of the settings for a host.
    fn resolved(folder: &Path, host: &str) -> String {
        let settings = settings(folder.to_str().unwrap()).unwrap();
        let output = Command::new("ssh")
            .arg("-F")
            .arg(settings.write().unwrap())
            .args(["-G", host])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn ssh_reads_what_was_meant_also_from_a_folder_with_spaces() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("a b");
        std::fs::create_dir(&folder).unwrap();
        let text = resolved(&folder, "box.vm");
        let path = folder.display();
        for line in [
            "user root\n".to_owned(),
            "proxycommand '/opt/my tools/ban%%ger' internal ssh-proxy %n\n".to_owned(),
            format!("identityfile {path}/id_ed25519\n"),
            format!("userknownhostsfile {path}/known_hosts\n"),
            "stricthostkeychecking true\n".to_owned(),
            "forwardagent no\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line:?} is not in {text}");
        }
    }

    #[test]
    fn a_name_that_a_shell_would_read_something_into_never_reaches_one() {
        let folder = tempfile::tempdir().unwrap();
        for character in FOREIGN.chars() {
            let text = resolved(folder.path(), &format!("a{character}b.vm"));
            assert!(!text.contains("internal ssh-proxy"), "{character:?}: {text}");
        }
        assert!(!resolved(folder.path(), "box.example").contains("internal ssh-proxy"));
    }

    #[test]
    fn a_path_that_ssh_would_read_otherwise_is_refused() {
        for folder in ["/a\"b", "/a\nProxyCommand x", "/a${HOME}", "relative", "/a\\b"] {
            let failure = settings(folder).err().unwrap();
            assert!(failure.message().contains("cannot hold the path"), "{folder}");
        }
    }
}
