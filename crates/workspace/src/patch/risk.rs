//! What of a patch somebody should look at before it touches the host: what runs without being asked to, and what
//! leads out of the tree.

use super::{Change, FileMode, Patch, name};
use crate::error::shown;

/// Why a change should be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskKind {
    /// A link whose target lies outside of the tree or in `.git`, or is not told.
    LinkOut,
    /// A file becomes executable, or ceases to be, or becomes a link.
    Mode,
    /// Scripts that git or a hook manager runs.
    Hook,
    /// Filters, drivers and submodules that git acts on.
    GitSettings,
    /// What a service runs when this is pushed.
    Ci,
    /// Tasks that an editor runs when the folder is opened.
    Editor,
    /// Settings that a shell or a tool acts on when the folder is entered.
    Environment,
    /// A name that a terminal or a person would read as something else.
    Name,
}

impl RiskKind {
    /// In a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::LinkOut => "a link that leads out of the tree",
            Self::Mode => "its mode changes",
            Self::Hook => "runs when git is used",
            Self::GitSettings => "settings that git acts on",
            Self::Ci => "runs when it is pushed",
            Self::Editor => "an editor may run it",
            Self::Environment => "runs when the folder is entered",
            Self::Name => "a name with characters that cannot be seen",
        }
    }
}

/// One reason to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// The reason.
    pub kind: RiskKind,
    /// The file, as a person reads it.
    pub path: String,
    /// More about it, for example a link's target.
    pub detail: Option<String>,
}

pub(super) fn of(patch: &Patch) -> Vec<Risk> {
    patch.changes.iter().flat_map(of_change).collect()
}

fn of_change(change: &Change) -> Vec<Risk> {
    let mut found = Vec::new();
    let mut add = |kind, detail| {
        found.push(Risk {
            kind,
            path: change.shown(),
            detail,
        });
    };
    if change.after == Some(FileMode::Link) {
        let target = change.target.as_deref();
        if target.is_none_or(|target| leaves(&change.path, target)) {
            add(RiskKind::LinkOut, target.map(shown));
        }
    }
    if let (Some(before), Some(after)) = (change.before, change.after)
        && before != after
    {
        add(
            RiskKind::Mode,
            Some(format!("{} → {}", before.words(), after.words())),
        );
    }
    if let Some(kind) = by_path(&change.path) {
        add(kind, None);
    }
    if std::str::from_utf8(&change.path).map_or(true, |path| path.chars().any(is_unseen)) {
        add(RiskKind::Name, None);
    }
    found
}

impl FileMode {
    fn words(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Executable => "executable",
            Self::Link => "link",
        }
    }
}

/// Whether a link at `path` leads out of the tree or into `.git`.
fn leaves(path: &[u8], target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return true;
    }
    let mut depth = path.iter().filter(|byte| **byte == b'/').count();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            part if name::is_git(part) => return true,
            _ => depth += 1,
        }
    }
    false
}

fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Folders whose content is of a kind, wherever they lie.
const FOLDERS: &[(&str, RiskKind)] = &[
    (".githooks", RiskKind::Hook),
    (".husky", RiskKind::Hook),
    (".git-hooks", RiskKind::Hook),
    (".hooks", RiskKind::Hook),
    ("hooks", RiskKind::Hook),
    (".github", RiskKind::Ci),
    (".gitlab", RiskKind::Ci),
    (".gitea", RiskKind::Ci),
    (".forgejo", RiskKind::Ci),
    (".circleci", RiskKind::Ci),
    (".buildkite", RiskKind::Ci),
    (".woodpecker", RiskKind::Ci),
    (".ci", RiskKind::Ci),
    (".vscode", RiskKind::Editor),
    (".idea", RiskKind::Editor),
    (".zed", RiskKind::Editor),
    (".vs", RiskKind::Editor),
    (".fleet", RiskKind::Editor),
    (".cursor", RiskKind::Editor),
    (".devcontainer", RiskKind::Editor),
    (".mise", RiskKind::Environment),
    (".cargo", RiskKind::Environment),
];

/// Files likewise.
const FILES: &[(&str, RiskKind)] = &[
    (".pre-commit-config.yaml", RiskKind::Hook),
    ("lefthook.yml", RiskKind::Hook),
    ("lefthook.yaml", RiskKind::Hook),
    (".lefthook.yml", RiskKind::Hook),
    (".huskyrc", RiskKind::Hook),
    (".gitattributes", RiskKind::GitSettings),
    (".gitmodules", RiskKind::GitSettings),
    (".lfsconfig", RiskKind::GitSettings),
    (".gitlab-ci.yml", RiskKind::Ci),
    (".travis.yml", RiskKind::Ci),
    (".drone.yml", RiskKind::Ci),
    (".woodpecker.yml", RiskKind::Ci),
    (".cirrus.yml", RiskKind::Ci),
    ("jenkinsfile", RiskKind::Ci),
    ("azure-pipelines.yml", RiskKind::Ci),
    ("bitbucket-pipelines.yml", RiskKind::Ci),
    ("appveyor.yml", RiskKind::Ci),
    (".exrc", RiskKind::Editor),
    (".nvimrc", RiskKind::Editor),
    (".nvim.lua", RiskKind::Editor),
    (".vimrc", RiskKind::Editor),
    (".lvimrc", RiskKind::Editor),
    (".dir-locals.el", RiskKind::Editor),
    (".devcontainer.json", RiskKind::Editor),
    (".envrc", RiskKind::Environment),
    (".env", RiskKind::Environment),
    (".mise.toml", RiskKind::Environment),
    ("mise.toml", RiskKind::Environment),
    (".tool-versions", RiskKind::Environment),
    (".banger.toml", RiskKind::Environment),
];

/// Ends of files likewise.
const ENDS: &[(&str, RiskKind)] = &[
    (".code-workspace", RiskKind::Editor),
    (".sublime-project", RiskKind::Editor),
];

/// The kind of a path, by its names in any letter case.
fn by_path(path: &[u8]) -> Option<RiskKind> {
    let path = String::from_utf8_lossy(path).to_lowercase();
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", &path));
    let kind_in = |list: &[(&str, RiskKind)], name: &str| {
        list.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
    };
    let end = || {
        ENDS.iter()
            .find(|(end, _)| file.ends_with(end))
            .map(|(_, kind)| *kind)
    };
    // A file called like such a folder may be a link to one.
    let folder = || {
        folders
            .split('/')
            .chain([file])
            .find_map(|name| kind_in(FOLDERS, name))
    };
    kind_in(FILES, file).or_else(end).or_else(folder)
}
