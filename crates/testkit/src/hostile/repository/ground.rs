//! A folder of a user's: a repository that came from elsewhere, and what must not get into it or change because of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::Dice;

/// What a plain git reads while it is shown that a trap works: a question for a credential helper.
const QUESTION: &[u8] = b"protocol=https\nhost=example.com\n\n";

/// The folder.
///
/// ```text
///  site/       the repository: one commit, an edited file, a new file, a program `tools/canary`
///  private/    another repository of the user's: a file, a commit message and lists of patterns hold the secret
///  home/       the user's home: .gitconfig, and .netrc with the secret
///  secret      a file with the secret
///  marks/      a file for each run of the canary
/// ```
///
/// The secret is in `site/.git/config` as well, where credentials are.
#[derive(Clone, Debug)]
pub struct Ground {
    folder: PathBuf,
    secret: String,
    own: String,
}

impl Ground {
    /// Makes one in an empty folder.
    ///
    /// # Errors
    /// A file cannot be written, or git fails.
    pub fn new(folder: &Path, dice: &mut Dice) -> io::Result<Self> {
        let ground = Self {
            folder: folder.to_owned(),
            secret: format!("SECRET{:016x}{:016x}", dice.throw(), dice.throw()),
            own: format!("OWN{:016x}{:016x}", dice.throw(), dice.throw()),
        };
        for name in ["site", "private", "home", "marks"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let settings = "[user]\n\tname = Ada\n\temail = ada@example.com\n";
        fs::write(folder.join("home/.gitconfig"), settings)?;
        let secret = &ground.secret;
        fs::write(folder.join("home/.netrc"), format!("password {secret}\n"))?;
        fs::write(folder.join("secret"), format!("{secret}\n"))?;
        ground.make_private()?;
        ground.make_site()?;
        Ok(ground)
    }

    fn make_private(&self) -> io::Result<()> {
        let private = self.private();
        self.git_in(&private, &["init", "-q", "--template=", "-b", "main"])?;
        fs::write(private.join("key"), format!("{}\n", self.secret))?;
        self.git_in(&private, &["add", "-A"])?;
        self.git_in(&private, &["commit", "-qm", &self.secret])?;
        fs::create_dir_all(private.join(".git/info"))?;
        for list in ["exclude", "attributes", "sparse-checkout"] {
            let text = format!("# {}\n/*\n", self.secret);
            fs::write(private.join(".git/info").join(list), text)?;
        }
        Ok(())
    }

    fn make_site(&self) -> io::Result<()> {
        let site = self.site();
        self.git(&["init", "-q", "--template=", "-b", "main"])?;
        for (path, text) in [
            ("README", "one\ntwo\nthree\n"),
            (".gitignore", "*.o\n"),
            ("docs/key", "public\n"),
            ("src/old.c", "int old;\n"),
            ("src/main.c", &format!("/* {} */\nint main;\n", self.own)),
        ] {
            write(&site.join(path), text)?;
        }
        let marks = self.folder.join("marks");
        // Confined, it can leave no mark: then its caller waits, and that is noticed.
        let program = format!(
            "#!/bin/sh\ntouch '{}'/$$ 2>/dev/null || exec sleep 1000\nexit 0\n",
            marks.display()
        );
        write(&self.canary(), &program)?;
        fs::set_permissions(self.canary(), fs::Permissions::from_mode(0o755))?;
        let url = format!("https://ada:{}@127.0.0.1:9/site.git", self.secret);
        self.set("remote.origin.url", &url)?;
        self.set("http.extraHeader", &format!("Authorization: {}", self.secret))?;
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-qm", "first"])?;
        Ok(())
    }

    /// The repository.
    #[must_use]
    pub fn site(&self) -> PathBuf {
        self.folder.join("site")
    }

    /// The repository's `.git`.
    pub(super) fn own(&self, path: &str) -> PathBuf {
        self.folder.join("site/.git").join(path)
    }

    /// The user's other repository.
    pub(super) fn private(&self) -> PathBuf {
        self.folder.join("private")
    }

    /// Something else of the user's.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// The user's home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// What must stay in its place.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What the repository's own commit holds.
    #[must_use]
    pub fn own_text(&self) -> &str {
        &self.own
    }

    /// The repository's program.
    pub(super) fn canary(&self) -> PathBuf {
        self.folder.join("site/tools/canary")
    }

    /// How often the repository's program has run.
    ///
    /// # Errors
    /// The marks cannot be counted.
    pub fn marks(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.folder.join("marks"))?.count())
    }

    /// Takes the marks away.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn clear_marks(&self) -> io::Result<()> {
        for mark in fs::read_dir(self.folder.join("marks"))? {
            fs::remove_file(mark?.path())?;
        }
        Ok(())
    }

    /// Edits a file and keeps its length, so that git has to read it, and makes a new one.
    pub(super) fn edit(&self) -> io::Result<()> {
        let site = self.site();
        fs::write(site.join("README"), "one\nTWO\nthree\n")?;
        fs::write(site.join("new"), "new\n")
    }

    /// Adds a setting of the repository's.
    pub(super) fn set(&self, key: &str, value: &str) -> io::Result<()> {
        let mut text = Vec::new();
        let (section, name) = key.rsplit_once('.').unwrap_or((key, ""));
        match section.split_once('.') {
            Some((section, part)) => header(&mut text, section, Some(part.as_bytes())),
            None => header(&mut text, section, None),
        }
        setting(&mut text, name, value);
        self.append(".git/config", &text)
    }

    /// Appends to a file in the repository's folder.
    pub(super) fn append(&self, path: &str, text: &[u8]) -> io::Result<()> {
        let path = self.site().join(path);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(text)
    }

    /// Runs git in the repository; gives what it prints, without the last line's end.
    pub(super) fn git(&self, arguments: &[&str]) -> io::Result<String> {
        self.git_in(&self.site(), arguments)
    }

    /// Likewise elsewhere.
    pub(super) fn git_in(&self, folder: &Path, arguments: &[&str]) -> io::Result<String> {
        self.git_with(folder, arguments, b"")
    }

    /// Likewise with something to read.
    pub(super) fn git_with(&self, folder: &Path, arguments: &[&str], input: &[u8]) -> io::Result<String> {
        let output = self.run(folder, arguments, input)?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("git {arguments:?}: {complaint}")));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Runs a plain git in a copy of the repository, with its settings and hooks. Its exit code does not matter.
    ///
    /// # Errors
    /// git cannot be run.
    pub fn plain_git(&self, copy: &Path, arguments: &[&str]) -> io::Result<()> {
        self.run(copy, arguments, QUESTION).map(drop)
    }

    fn run(&self, folder: &Path, arguments: &[&str], input: &[u8]) -> io::Result<Output> {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // A git that reads nothing breaks the pipe.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            child.wait_with_output()
        })
    }
}

/// Begins a section of git's settings.
pub(super) fn header(text: &mut Vec<u8>, section: &str, part: Option<&[u8]>) {
    text.push(b'[');
    text.extend_from_slice(section.as_bytes());
    if let Some(part) = part {
        text.extend_from_slice(b" \"");
        for &byte in part {
            if matches!(byte, b'"' | b'\\') {
                text.push(b'\\');
            }
            text.push(byte);
        }
        text.push(b'"');
    }
    text.extend_from_slice(b"]\n");
}

/// A setting of the section at hand.
pub(super) fn setting(text: &mut Vec<u8>, name: &str, value: &str) {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    text.extend_from_slice(format!("\t{name} = \"{value}\"\n").as_bytes());
}

/// Writes a file and the folders that it lies in.
pub(super) fn write(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, text)
}

/// Takes away whatever lies there.
pub(super) fn clear(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// A name of a file that need not be text.
pub(super) fn name(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}
