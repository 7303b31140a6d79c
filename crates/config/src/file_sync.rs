//! `[[file_sync]]`: files of the user's home that each VM gets.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer, de::Error};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSync {
    /// A file or folder below the user's home, from there on; whether it leads out by a link shows when it is read.
    #[serde(deserialize_with = "host")]
    pub host: HostPath,
    /// Where it goes, below `/root`, from there on.
    #[serde(deserialize_with = "guest")]
    pub guest: PathBuf,
    /// The rights that the files get; their own if `None`.
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<u32>,
}

/// A path of the host's as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPath {
    /// `~/…`
    Home(PathBuf),
    /// `/…`
    Absolute(PathBuf),
}

impl HostPath {
    /// Where it is for a user with this home.
    #[must_use]
    pub fn resolve(&self, home: &Path) -> PathBuf {
        match self {
            Self::Home(path) => home.join(path),
            Self::Absolute(path) => path.clone(),
        }
    }
}

fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HostPath, D::Error> {
    let text = String::deserialize(deserializer)?;
    let path = match text.strip_prefix("~/") {
        Some(below) => plain(below).map(HostPath::Home),
        None => text
            .strip_prefix('/')
            .and_then(plain)
            .map(|path| HostPath::Absolute(Path::new("/").join(path))),
    };
    path.ok_or_else(|| {
        D::Error::custom(format!(
            "{text:?} is no path below your home, such as ~/.gitconfig"
        ))
    })
}

fn guest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.strip_prefix("/root/")
        .or_else(|| text.strip_prefix("~/"))
        .and_then(plain)
        .ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is no path below /root, such as /root/.gitconfig"
            ))
        })
}

/// A path that leads nowhere but down.
fn plain(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let down = |part| matches!(part, Component::Normal(_));
    let sound = !text.is_empty() && !text.contains('\0') && path.components().all(down);
    sound.then(|| path.components().collect())
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = digits.then(|| u32::from_str_radix(&text, 8).ok()).flatten();
    mode.filter(|mode| *mode <= 0o777)
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{text:?} are no rights, such as \"0600\"")))
}
