//! A repository's own settings, with the files that they include as far as those are the repository's, too.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::condition::About;
use super::parse::{Room, Unread, parse};
use super::{Setting, Settings};
use crate::beneath::Folder;
use crate::error::{WorkspaceError, shown};

/// Most bytes of a file of settings.
const LARGEST: u64 = 8 << 20;
/// Most bytes of all files together, a file counted as often as it is included, and of the settings that they hold.
const LARGEST_TOGETHER: usize = 16 << 20;
/// Most files within each other, as with git.
const DEEPEST: usize = 10;
/// Most settings, and most files of them.
const MOST: usize = 200_000;
const MOST_FILES: usize = 100;
/// Most steps that the conditions of includes take together.
const MOST_STEPS: u64 = 1 << 28;

/// What one reading may still take.
struct Left {
    files: usize,
    bytes: usize,
    room: Room,
    steps: u64,
}

/// The settings in a file's text, which includes no others.
pub(crate) fn settings_of(text: &[u8], path: &Path) -> Result<Settings, WorkspaceError> {
    let mut room = Room {
        settings: MOST,
        bytes: LARGEST_TOGETHER,
    };
    parse(text, &mut room).map_err(|unread| unparsed(unread, path))
}

fn unparsed(unread: Unread, file: &Path) -> WorkspaceError {
    match unread {
        Unread::TooMuch => refused(file, TOO_MANY),
        Unread::Line(line) => WorkspaceError::NoSetting {
            path: file.to_owned(),
            line,
        },
    }
}

/// Reads files below some folders alone.
pub(crate) struct Reader<'a> {
    /// The working tree, the repository's folder, the one that its linked working trees share: canonical paths.
    pub(crate) roots: Vec<&'a Folder>,
    pub(crate) about: About,
}

impl Reader<'_> {
    /// All that the files say, one after the other, and what they include.
    pub(crate) fn settings(&mut self, files: &[PathBuf]) -> Result<Settings, WorkspaceError> {
        let mut left = Left {
            files: MOST_FILES,
            bytes: LARGEST_TOGETHER,
            room: Room {
                settings: MOST,
                bytes: LARGEST_TOGETHER,
            },
            steps: MOST_STEPS,
        };
        let mut plain = Vec::new();
        for file in files {
            plain.push((file, self.parsed(file, &mut left)?));
        }
        // They may be asked for before the place where they stand.
        let remotes = plain
            .iter()
            .flat_map(|(_, settings)| settings.each("remote", "url"));
        self.about.remotes = remotes.map(|(_, url)| url.to_vec()).collect();
        let mut all = Settings::default();
        for (file, settings) in plain {
            self.add(settings, file, 0, &mut left, &mut all)?;
        }
        Ok(all)
    }

    /// Adds the settings of a file, and what they include.
    fn add(
        &self,
        settings: Settings,
        file: &Path,
        depth: usize,
        left: &mut Left,
        all: &mut Settings,
    ) -> Result<(), WorkspaceError> {
        for setting in settings.0 {
            left.steps = left
                .steps
                .checked_sub(self.about.cost(&setting))
                .ok_or_else(|| refused(file, "has conditions of includes that are too long"))?;
            if let Some(path) = self.about.included(&setting, file) {
                let path = self.place(path, file, &setting)?;
                if depth == DEEPEST {
                    return Err(refused(&path, TOO_MANY));
                }
                let included = self.parsed(&path, left)?;
                self.add(included, &path, depth + 1, left, all)?;
            }
            all.0.push(setting);
        }
        Ok(())
    }

    fn parsed(&self, file: &Path, left: &mut Left) -> Result<Settings, WorkspaceError> {
        let too_many = || refused(file, TOO_MANY);
        left.files = left.files.checked_sub(1).ok_or_else(too_many)?;
        let text = self.read(file, LARGEST)?.unwrap_or_default();
        left.bytes = left.bytes.checked_sub(text.len()).ok_or_else(too_many)?;
        parse(&text, &mut left.room).map_err(|unread| unparsed(unread, file))
    }

    /// Reads a file of the repository's by its whole path; nothing if there is none.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, WorkspaceError> {
        // Longest first: a linked working tree's folder may lie below another one.
        let root = self
            .roots
            .iter()
            .filter_map(|root| Some((root, path.strip_prefix(&root.path).ok()?)))
            .min_by_key(|(_, below)| below.as_os_str().len());
        match root {
            Some((root, below)) => root.read(below, limit),
            None => Ok(None),
        }
    }

    /// Where the path in a setting's value leads, if that is below the repository. A path that is not from the root is
    /// beside `file`.
    pub(crate) fn place(
        &self,
        value: &[u8],
        file: &Path,
        setting: &Setting,
    ) -> Result<PathBuf, WorkspaceError> {
        let path = self.about.path(value, file).and_then(|path| plain(&path));
        path.filter(|path| self.roots.iter().any(|root| path.starts_with(&root.path)))
            .ok_or_else(|| WorkspaceError::LeadsOut {
                path: file.to_owned(),
                key: shown(&[&*setting.section, b".", &setting.name].concat()),
                value: shown(value),
            })
    }
}

const TOO_MANY: &str = "includes too many settings";

fn refused(file: &Path, why: &str) -> WorkspaceError {
    WorkspaceError::NoFile {
        path: file.to_owned(),
        why: why.to_owned(),
    }
}

/// The path without `.` and `..`, by its text: the roots are canonical, and no link is followed below them.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    (plain.is_absolute() && !plain.as_os_str().as_bytes().contains(&0)).then_some(plain)
}
