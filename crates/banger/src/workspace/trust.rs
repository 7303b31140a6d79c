//! Whether the user has looked at what a repository asks for: `<state>/trusted/`, a note for each repository, with the
//! digest of the file as it was then. One that changed is looked at anew.

use std::fs::DirBuilder;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use config::{Environment, Paths};
use sha2::{Digest, Sha256};
use workspace::Repository;

use super::failed;
use super::wishes::{LARGEST, NAME, Wishes};
use crate::failure::Failure;
use crate::render;
use crate::terminal::window_size;
use crate::verbs::confirmed;

/// What the command line says of `.banger.toml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Ask, where there is somebody to ask.
    #[default]
    Ask,
    /// It holds as it is.
    Given,
    /// It is left out.
    Refused,
}

/// What a repository asks for and the user agrees to. `from` is the commit that goes in the place of the working tree.
///
/// # Errors
/// It cannot be read, asks for what none may, or nobody agrees.
pub fn agreed(repository: &Repository, from: Option<&str>, trust: Trust) -> Result<Wishes, Failure> {
    if trust == Trust::Refused {
        return Ok(Wishes::default());
    }
    let read = repository.read(NAME, from, LARGEST);
    let Some(bytes) = read.map_err(|error| failed("NAME", &error).with_hint(LEFT_OUT))? else {
        return Ok(Wishes::default());
    };
    let path = repository.top.join(NAME);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::new(format!("{} is not UTF-8 text", path.display())).with_hint(LEFT_OUT))?;
    let wishes = Wishes::parse(text, &path).map_err(|error| {
        let hint = error.hint();
        Failure::new(error.to_string()).with_hint(hint.unwrap_or_else(|| LEFT_OUT.to_owned()))
    })?;
    let note = Note::of(&repository.top, &bytes)?;
    if wishes.is_empty() {
        return Ok(wishes);
    }
    let agreed = note.is_there();
    if trust == Trust::Ask && !agreed {
        ask(&wishes, &path)?;
    }
    wishes.check_image().map_err(|why| {
        Failure::new(format!(
            "{}: `image`: {why}",
            render::one_line(&path.display().to_string())
        ))
        .with_hint(LEFT_OUT)
    })?;
    if !agreed {
        note.write()?;
    }
    Ok(wishes)
}

/// Shows all of it, and fails unless the user agrees.
fn ask(wishes: &Wishes, path: &Path) -> Result<(), Failure> {
    let said = format!(
        "{} asks for this VM:",
        render::one_line(&path.display().to_string())
    );
    render::note(&said);
    render::note(wishes.shown().trim_end());
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let message = format!("{} is new or has changed since you agreed to it", path.display());
        return Err(Failure::new(message).with_hint("--trust-config agrees to it, --no-config leaves it out"));
    }
    if !wishes.is_seen_at_once(&said, &format!("{QUESTION} [y/N] yes"), window_size()) {
        let message = format!("{} asks for more than is seen at once", path.display());
        return Err(Failure::new(message)
            .with_hint("read it; --trust-config agrees to it, --no-config leaves it out"));
    }
    match confirmed(QUESTION)? {
        true => Ok(()),
        false => Err(Failure::new("nothing was made").with_hint(LEFT_OUT)),
    }
}

const QUESTION: &str = "Agree, until it changes?";
const LEFT_OUT: &str = "--no-config leaves .banger.toml out";

/// That a repository's file was agreed to.
struct Note {
    path: PathBuf,
    text: String,
}

impl Note {
    fn of(top: &Path, content: &[u8]) -> Result<Self, Failure> {
        let paths = Paths::personal(&Environment::of_process())
            .map_err(|error| Failure::new(format!("cannot keep notes of repositories: {error}")))?;
        let digest = |bytes: &[u8]| {
            let digest = Sha256::digest(bytes);
            digest
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        Ok(Self {
            path: paths
                .state()
                .join("trusted")
                .join(digest(top.as_os_str().as_bytes())),
            text: format!("{}\n", digest(content)),
        })
    }

    fn is_there(&self) -> bool {
        std::fs::read(&self.path).is_ok_and(|text| text == self.text.as_bytes())
    }

    fn write(&self) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            durable::replace(&self.path, 0o600, self.text.as_bytes())
        };
        write().map_err(|error| Failure::new(format!("cannot write {}: {error}", self.path.display())))
    }
}
