//! What of a guest's changes to look at before they touch the host: what runs without being asked to, what tools run by
//! convention, and what leads out of the tree.
//!
//! Names are judged by [`names`], links by [`links`], folders that become repositories by [`places`]; the last two with
//! what the host has beside what the guest brings, see [`ground`].

mod follow;
mod ground;
mod known;
mod links;
mod named;
mod names;
mod places;
mod way;
mod words;

use std::collections::HashSet;

use super::{Change, FileMode, name};
use crate::breaking;
use crate::error::{WorkspaceError, is_unseen, shown};
use crate::repository::Repository;
use ground::Ground;

/// What the changes come onto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto<'a> {
    /// The files that the user has.
    Files,
    /// The files of a commit, none before the first one; it may be checked out among those that the user has.
    Commit(Option<&'a str>),
}

/// How heavy a risk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// It is said, and goes on: what a developer changes every day.
    Shown,
    /// It is said, and needs the user's word.
    Asked,
}

/// Why a change should be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RiskKind {
    /// A link whose target lies outside of the tree or in `.git`, or is not told.
    LinkOut,
    /// A link that goes down and up again: what it leads to depends on what is a link by then.
    LinkAround,
    /// More links than are followed: what changes may have names by them that are not known.
    ManyLinks,
    /// A file becomes executable, or ceases to be, or becomes a link.
    Mode,
    /// A folder becomes a repository, whose settings name programs, or is one.
    Repository,
    /// Scripts that git or a hook manager runs.
    Hook,
    /// Filters, drivers and submodules that git acts on.
    GitSettings,
    /// What a service runs when this is pushed.
    Ci,
    /// Tasks that an editor runs when the folder is opened.
    Editor,
    /// What coding agents take their orders from.
    Agent,
    /// Settings that a shell or a tool acts on when the folder is entered.
    Environment,
    /// A hidden file or folder that is not known to be harmless.
    Hidden,
    /// Compiled code that something may load, and that no patch shows.
    Library,
    /// What tools run, or take their orders from, by its name.
    Build,
    /// What is left out when files are copied, sent or published.
    Ignore,
    /// A new program.
    Executable,
    /// A name that a terminal, a person or a file system would read as something else.
    Name,
    /// A name that a file system takes for that of another file.
    SameName,
}

impl RiskKind {
    /// In a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::LinkOut => "a link that leads out of the tree",
            Self::LinkAround => "a link that goes down and up again",
            Self::ManyLinks => "more links than are followed",
            Self::Mode => "its mode changes",
            Self::Repository => "its folder is a git repository then, whose settings name programs",
            Self::Hook => "runs when git is used",
            Self::GitSettings => "settings that git acts on",
            Self::Ci => "runs when it is pushed",
            Self::Editor => "an editor may run it",
            Self::Agent => "coding agents take orders from it",
            Self::Environment => "runs when the folder is entered",
            Self::Hidden => "hidden, and not known to be harmless",
            Self::Library => "compiled code, which no patch shows",
            Self::Build => "tools run it by its name",
            Self::Ignore => "says what is left out of copies and commits",
            Self::Executable => "a new program",
            Self::Name => "a name that reads as another",
            Self::SameName => "a name that some file systems take for another's",
        }
    }

    /// How heavy it is, for a file that is there already or not.
    fn weight(self, is_there: bool) -> Weight {
        match self {
            Self::Ignore | Self::Executable => Weight::Shown,
            Self::Build if is_there => Weight::Shown,
            _ => Weight::Asked,
        }
    }
}

/// One reason to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// The reason.
    pub kind: RiskKind,
    /// Whether it needs a word.
    pub weight: Weight,
    /// The file, as a person reads it.
    pub path: String,
    /// More about it, for example a link's target.
    pub detail: Option<String>,
}

/// Looks at all changes, of one patch or of several commits.
pub(crate) fn of(
    changes: &[Change],
    repository: &Repository,
    onto: Onto<'_>,
) -> Result<Vec<Risk>, WorkspaceError> {
    let ground = Ground::of(changes, repository, onto)?;
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |change: &Change, kind: RiskKind, detail: Option<String>| {
        let risk = Risk {
            kind,
            weight: kind.weight(change.before.is_some()),
            path: change.shown(),
            detail,
        };
        if seen.insert((kind, risk.path.clone(), risk.weight, risk.detail.clone())) {
            found.push(risk);
        }
    };
    for change in changes {
        breaking::check()?;
        by_itself(change, &mut add);
        by_names(change, &ground, &mut add);
        links::look(change, &ground, &mut add);
        places::look(change, &ground, &mut add);
    }
    for risk in links::led_astray(changes, &ground)? {
        found.push(risk);
    }
    if !ground.knows_all() {
        found.push(Risk {
            kind: RiskKind::ManyLinks,
            weight: Weight::Asked,
            path: ".".to_owned(),
            detail: Some("a changed file may be one that runs, by a link that is not known".to_owned()),
        });
    }
    Ok(found)
}

/// Takes a reason to look at a change.
type Add<'a> = &'a mut dyn FnMut(&Change, RiskKind, Option<String>);

/// What a change is, whatever it is called.
fn by_itself(change: &Change, add: Add<'_>) {
    if let (Some(before), Some(after)) = (change.before, change.after)
        && before != after
    {
        let detail = format!("{} → {}", before.words(), after.words());
        add(change, RiskKind::Mode, Some(detail));
    }
    if (change.before, change.after) == (None, Some(FileMode::Executable)) {
        add(change, RiskKind::Executable, None);
    }
    let text = std::str::from_utf8(&change.path);
    let unseen = text.map_or(true, |text| text.chars().any(is_unseen));
    let mut names = change.path.split(|byte| *byte == b'/');
    // A backslash is a slash elsewhere.
    if unseen || names.any(|name| name::is_short(name) || name.contains(&b'\\')) {
        add(change, RiskKind::Name, None);
    }
}

/// What it is called, by its own path and by those that links give it.
fn by_names(change: &Change, ground: &Ground, add: Add<'_>) {
    let plain = matches!(change.after.or(change.before), Some(FileMode::Plain));
    let kind = names::kind(&change.path, plain);
    if let Some(kind) = kind {
        add(change, kind, None);
    }
    if ground.is_named_by_settings(&change.path) {
        let detail = Some("your git settings name it".to_owned());
        add(change, RiskKind::GitSettings, detail);
    }
    let (others, all) = ground.aliases(&change.path);
    if !all {
        add(
            change,
            RiskKind::ManyLinks,
            Some("that many lead to it".to_owned()),
        );
    }
    for other in others {
        let other_kind = match ground.is_named_by_settings(&other) {
            true => Some(RiskKind::GitSettings),
            false => names::kind(&other, plain),
        };
        if let Some(other_kind) = other_kind.filter(|other| Some(*other) != kind) {
            let detail = format!("by a link it is `{}`", shown(&other));
            add(change, other_kind, Some(detail));
        }
    }
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
