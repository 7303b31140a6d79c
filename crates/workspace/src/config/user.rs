//! The user's own settings and the host's: read by git in an empty folder, away from every repository.

use std::path::{Path, PathBuf};

use super::condition::About;
use super::{Setting, Settings};
use crate::error::WorkspaceError;
use crate::host::Host;

/// Most files that conditions bring in.
const MOST_FILES: usize = 100;
/// Most bytes of a file of patterns, as with git.
const LARGEST: u64 = 100 << 20;

/// What the user and the host say, for one repository.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) settings: Settings,
    /// What the user's file of ignored files says.
    pub(crate) excludes: Vec<u8>,
    /// What the user's file of attributes says.
    pub(crate) attributes: Vec<u8>,
}

impl User {
    pub(crate) fn of(host: &Host, about: &About) -> Result<Self, WorkspaceError> {
        let mut settings = Settings::default();
        let mut left = MOST_FILES;
        add(host, host.settings(), about, &mut left, &mut settings)?;
        let file = |name, usual| {
            let set = settings
                .get("core", name)
                .map(|value| about.path(value, Path::new("/")));
            let path = set.unwrap_or_else(|| Some(host.folder_of_settings()?.join(usual)));
            path.map_or_else(|| Ok(Vec::new()), |path| text(&path))
        };
        Ok(Self {
            excludes: file("excludesfile", "ignore")?,
            attributes: file("attributesfile", "attributes")?,
            settings,
        })
    }
}

/// Adds a list with what its conditions bring in: git, which sees no repository here, has left that out.
fn add(
    host: &Host,
    list: &[(PathBuf, Setting)],
    about: &About,
    left: &mut usize,
    all: &mut Settings,
) -> Result<(), WorkspaceError> {
    for (file, setting) in list {
        let conditional = setting.section == b"includeif";
        let path = about.included(setting, file).filter(|_| conditional);
        if let Some(path) = path.and_then(|path| about.path(path, file))
            && let Some(rest) = left.checked_sub(1)
        {
            *left = rest;
            add(host, &host.settings_in(&path)?, about, left, all)?;
        }
        all.0.push(setting.clone());
    }
    Ok(())
}

/// All that the user and the host say, on whatever condition, and all files where they may say it: those that are there,
/// those that would be included, and those that git looks for. One that git cannot read says nothing.
pub(crate) fn all_of_user(host: &Host) -> (Settings, Vec<PathBuf>) {
    let about = About {
        home: host.home.clone(),
        ..About::default()
    };
    let home = host.home.iter().map(|home| home.join(".gitconfig"));
    let folder = host.folder_of_settings();
    let usual = ["config", "ignore", "attributes"];
    let usual = folder
        .iter()
        .flat_map(|folder| usual.map(|name| folder.join(name)));
    let mut files: Vec<PathBuf> = home.chain(usual).chain(host.named_files()).collect();
    let mut settings = Settings::default();
    let mut left = MOST_FILES;
    let mut lists = vec![host.settings().to_vec()];
    while let Some(list) = lists.pop() {
        for (file, setting) in list {
            let conditional = setting.section == b"includeif";
            let value = setting.value.as_deref().filter(|_| setting.name == b"path");
            let included = value
                .filter(|_| conditional || setting.section == b"include")
                .and_then(|value| about.path(value, &file));
            if let Some(path) = included {
                if conditional && let Some(rest) = left.checked_sub(1) {
                    left = rest;
                    lists.extend(host.settings_in(&path));
                }
                files.push(path);
            }
            if files.last() != Some(&file) {
                files.push(file);
            }
            settings.0.push(setting);
        }
    }
    files.retain(|file| file.is_absolute());
    files.sort_unstable();
    files.dedup();
    (settings, files)
}

/// What a file of the user's says: nothing, where git would find none. The user's links are followed.
fn text(path: &Path) -> Result<Vec<u8>, WorkspaceError> {
    let cannot = |source| WorkspaceError::host("read", path.display().to_string())(source);
    match path.metadata() {
        Ok(found) if found.is_file() && found.len() <= LARGEST => std::fs::read(path).map_err(cannot),
        Ok(found) if found.is_file() => Err(cannot(std::io::ErrorKind::FileTooLarge.into())),
        // `/dev/null`, or a folder.
        Ok(_) => Ok(Vec::new()),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(cannot(error)),
    }
}
