//! `~/.ssh/config` as a file: read within bounds, replaced as a whole, and left alone where it is not the user's.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::include::{Damaged, with_block, without_block};
use super::settings::word;
use crate::failure::Failure;

/// Longest file that is edited.
const LONGEST: u64 = 1 << 20;

/// What is done to it.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// The block includes this file.
    Install(&'a Path),
    /// There is no block.
    Uninstall,
}

/// Whether the file has the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Included {
    /// It has none.
    Not,
    /// It has one that includes another file.
    Another,
    /// It has.
    This,
}

/// The file of one user.
pub struct UserFile {
    path: PathBuf,
    uid: u32,
}

impl UserFile {
    /// The one below this home.
    pub fn below(home: &Path, uid: u32) -> Self {
        Self {
            path: home.join(".ssh/config"),
            uid,
        }
    }

    /// Its path, as the user knows it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Carries out the change. True if there was one to make.
    ///
    /// # Errors
    /// The file is somebody else's, too long, or damaged, or cannot be written; it is as it was.
    pub fn change(&self, change: Change<'_>) -> Result<bool, Failure> {
        let target = self.target()?;
        let text = match &target {
            Some(target) => self.read(target)?,
            None => Vec::new(),
        };
        let new = self.changed(&text, change)?;
        if new == text {
            return Ok(false);
        }
        let failed = |error: io::Error| self.refused(&error.to_string());
        match target {
            Some(target) => {
                let mode = fs::metadata(&target).map_err(failed)?.permissions().mode();
                durable::write(&target, mode & 0o7777, &new).map_err(failed)?;
            }
            None => {
                if let Some(folder) = self.path.parent() {
                    DirBuilder::new()
                        .recursive(true)
                        .mode(0o700)
                        .create(folder)
                        .map_err(failed)?;
                }
                durable::write(&self.path, 0o600, &new).map_err(failed)?;
            }
        }
        Ok(true)
    }

    /// Whether it includes this file.
    ///
    /// # Errors
    /// As of a change.
    pub fn includes(&self, file: &Path) -> Result<Included, Failure> {
        let text = match self.target()? {
            Some(target) => self.read(&target)?,
            None => Vec::new(),
        };
        Ok(if self.changed(&text, Change::Uninstall)? == text {
            Included::Not
        } else if self.changed(&text, Change::Install(file))? == text {
            Included::This
        } else {
            Included::Another
        })
    }

    fn changed(&self, text: &[u8], change: Change<'_>) -> Result<Vec<u8>, Failure> {
        let new = match change {
            Change::Install(file) => with_block(text, &include_line(file)?),
            Change::Uninstall => without_block(text),
        };
        new.map_err(|Damaged(line)| {
            self.refused(&format!("line {line}: banger's markers do not make one block"))
                .with_hint("take out what is between them, and the markers, and try again")
        })
    }

    /// The file itself, behind links of the user's own; `None` if there is none.
    fn target(&self) -> Result<Option<PathBuf>, Failure> {
        let failed = |error: io::Error| self.refused(&error.to_string());
        let found = match fs::symlink_metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let target = fs::canonicalize(&self.path).map_err(failed)?;
        let behind = fs::metadata(&target).map_err(failed)?;
        for owner in [found.uid(), behind.uid()] {
            if owner != self.uid {
                return Err(self.foreign(&format!("it belongs to uid {owner}")));
            }
        }
        if !behind.is_file() {
            return Err(self.foreign("it is no file"));
        }
        Ok(Some(target))
    }

    fn read(&self, target: &Path) -> Result<Vec<u8>, Failure> {
        let mut text = Vec::new();
        File::open(target)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text))
            .map_err(|error| self.refused(&error.to_string()))?;
        if text.len() as u64 > LONGEST {
            return Err(self.foreign("it is longer than 1 MiB"));
        }
        Ok(text)
    }

    fn refused(&self, why: &str) -> Failure {
        Failure::new(format!("{} stays as it is: {why}", self.path.display()))
    }

    fn foreign(&self, why: &str) -> Failure {
        self.refused(why)
            .with_hint("`banger ssh-config` prints what belongs into it")
    }
}

/// The line, in which ssh would expand `*`, `?` and `[`.
fn include_line(file: &Path) -> Result<String, Failure> {
    let text = file.to_string_lossy();
    if text.contains(['*', '?', '[']) {
        return Err(
            Failure::new(format!("ssh's configuration cannot include {}", file.display()))
                .with_hint("XDG_STATE_HOME puts banger's files elsewhere"),
        );
    }
    // Of the two that `word` looks after, `%` means nothing here.
    Ok(format!("Include {}", word(&text)?.replace("%%", "%")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Fixture {
        home: tempfile::TempDir,
        file: UserFile,
    }

    const STATE: &str = "/state/ssh/config";

    impl Fixture {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let file = UserFile::below(home.path(), rustix::process::geteuid().as_raw());
            Self { home, file }
        }

        fn with(text: &[u8], mode: u32) -> Self {
            let fixture = Self::new();
            fs::create_dir(fixture.home.path().join(".ssh")).unwrap();
            fs::write(fixture.file.path(), text).unwrap();
            fs::set_permissions(fixture.file.path(), fs::Permissions::from_mode(mode)).unwrap();
            fixture
        }

        fn install(&self) -> Result<bool, Failure> {
            self.file.change(Change::Install(Path::new(STATE)))
        }

        fn uninstall(&self) -> Result<bool, Failure> {
            self.file.change(Change::Uninstall)
        }

        fn text(&self) -> Vec<u8> {
            fs::read(self.file.path()).unwrap()
        }

        fn mode(&self) -> u32 {
            fs::metadata(self.file.path()).unwrap().permissions().mode() & 0o777
        }

        /// Names in the folder: nothing temporary may stay there.
        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(self.home.path().join(".ssh"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn what_was_put_in_is_taken_out_to_the_byte_and_the_mode_stays() {
        for (text, mode) in [
            (&b"Host a\n\tUser b"[..], 0o600),
            (b"", 0o644),
            (b"\xff\xfe not text\r\n\0", 0o640),
        ] {
            let fixture = Fixture::with(text, mode);
            assert!(fixture.install().unwrap());
            assert!(!fixture.install().unwrap(), "once is enough");
            let with = String::from_utf8_lossy(&fixture.text()).into_owned();
            assert!(
                with.lines().nth(1).unwrap() == format!("Include \"{STATE}\""),
                "{with}"
            );
            assert_eq!(fixture.mode(), mode);
            assert!(fixture.uninstall().unwrap());
            assert!(!fixture.uninstall().unwrap());
            assert_eq!(fixture.text(), text);
            assert_eq!(fixture.mode(), mode);
            assert_eq!(fixture.names(), ["config"]);
        }
    }

    #[test]
    fn a_home_without_the_file_gets_one_that_is_the_users_alone() {
        let fixture = Fixture::new();
        assert!(!fixture.uninstall().unwrap());
        assert!(
            !fixture.home.path().join(".ssh").exists(),
            "nothing to remove makes nothing"
        );
        assert!(fixture.install().unwrap());
        assert_eq!(fixture.mode(), 0o600);
        let folder = fs::metadata(fixture.home.path().join(".ssh")).unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_of_the_users_stays_a_link() {
        let fixture = Fixture::new();
        let dotfiles = fixture.home.path().join("dotfiles");
        fs::create_dir(&dotfiles).unwrap();
        fs::create_dir(fixture.home.path().join(".ssh")).unwrap();
        fs::write(dotfiles.join("ssh"), "Host a\n").unwrap();
        symlink("../dotfiles/ssh", fixture.file.path()).unwrap();
        assert!(fixture.install().unwrap());
        assert!(fs::symlink_metadata(fixture.file.path()).unwrap().is_symlink());
        assert!(
            fs::read_to_string(dotfiles.join("ssh"))
                .unwrap()
                .ends_with("Host a\n")
        );
        assert!(fixture.uninstall().unwrap());
        assert_eq!(fs::read_to_string(dotfiles.join("ssh")).unwrap(), "Host a\n");
    }

    #[test]
    fn what_is_not_the_users_own_plain_file_is_left_alone() {
        // Somebody else's, as a file that a system's configuration manages.
        let fixture = Fixture::with(b"Host a\n", 0o600);
        let other = UserFile::below(fixture.home.path(), fixture.file.uid + 1);
        let failure = other.change(Change::Install(Path::new(STATE))).unwrap_err();
        assert!(
            failure.message().contains("it belongs to uid"),
            "{}",
            failure.message()
        );
        assert!(failure.hint().is_some());
        // A link to nowhere, a folder, a device, a file that is too long, damaged markers.
        let link = Fixture::new();
        fs::create_dir(link.home.path().join(".ssh")).unwrap();
        symlink("nowhere", link.file.path()).unwrap();
        let folder = Fixture::new();
        fs::create_dir_all(folder.file.path()).unwrap();
        let long = Fixture::with(&vec![b'\n'; (1 << 20) + 1], 0o600);
        let damaged = Fixture::with(b"\n# <<< banger <<<\n", 0o600);
        for (fixture, why) in [
            (&link, "No such file"),
            (&folder, "it is no file"),
            (&long, "longer than 1 MiB"),
            (&damaged, "line 2: banger's markers"),
        ] {
            let failure = fixture.install().unwrap_err();
            assert!(failure.message().contains(why), "{}", failure.message());
            assert_eq!(fixture.names(), ["config"]);
        }
        assert_eq!(damaged.text(), b"\n# <<< banger <<<\n");
        assert_eq!(fixture.text(), b"Host a\n");
    }
}
