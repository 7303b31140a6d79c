//! Which settings reach a git that looks at a repository: a list, since no list of what names a program or a file is ever
//! whole.

use super::{Setting, Settings};
use crate::error::WorkspaceError;

/// Settings of a repository's own that count. None of them names a program, a file or an address that git would use.
const REPOSITORY: &[(&str, &[&str])] = &[
    (
        "core",
        &[
            "repositoryformatversion",
            "filemode",
            "symlinks",
            "ignorecase",
            "precomposeunicode",
            "protecthfs",
            "protectntfs",
            "autocrlf",
            "eol",
            "safecrlf",
            "checkroundtripencoding",
            "checkstat",
            "trustctime",
            "bigfilethreshold",
            "compression",
            "loosecompression",
            "sparsecheckout",
            "sparsecheckoutcone",
            "sharedrepository",
            "logallrefupdates",
            "commitgraph",
        ],
    ),
    (
        "extensions",
        &[
            "objectformat",
            "partialclone",
            "refstorage",
            "noop",
            "preciousobjects",
        ],
    ),
    ("index", &["sparse", "skiphash"]),
    ("i18n", &["commitencoding"]),
    ("user", &["name", "email", "useconfigonly"]),
    ("author", &["name", "email"]),
    ("committer", &["name", "email"]),
    ("apply", &["ignorewhitespace", "whitespace"]),
];

/// The same, each with a subsection.
const REPOSITORY_PARTS: &[(&str, &[&str])] = &[("remote", &["promisor", "partialclonefilter"])];

/// What counts of the user's own settings besides: how much git may take, and the filters that the user trusts.
const USER: &[(&str, &[&str])] = &[
    (
        "core",
        &[
            "packedgitlimit",
            "packedgitwindowsize",
            "deltabasecachelimit",
            "preloadindex",
        ],
    ),
    ("pack", &["threads", "windowmemory", "deltacachesize"]),
    ("index", &["threads"]),
];
const USER_PARTS: &[(&str, &[&str])] = &[("filter", &["clean", "smudge", "process", "required"])];

/// Extensions of the format that are understood here (gitformat-repository-version(5)).
const EXTENSIONS: &[&str] = &[
    "noop",
    "noop-v1",
    "objectformat",
    "partialclone",
    "preciousobjects",
    "refstorage",
    "relativeworktrees",
    "worktreeconfig",
];

/// What of a repository's settings git is given.
pub(crate) fn of_repository(settings: &Settings) -> impl Iterator<Item = &Setting> {
    kept(settings, &[REPOSITORY], &[REPOSITORY_PARTS])
}

/// What of the user's settings git is given.
pub(crate) fn of_user(settings: &Settings) -> impl Iterator<Item = &Setting> {
    kept(settings, &[REPOSITORY, USER], &[USER_PARTS])
}

fn kept<'a>(
    settings: &'a Settings,
    plain: &'static [&'static [(&'static str, &'static [&'static str])]],
    parts: &'static [&'static [(&'static str, &'static [&'static str])]],
) -> impl Iterator<Item = &'a Setting> {
    let has = |lists: &[&[(&str, &[&str])]], setting: &Setting| {
        lists.iter().copied().flatten().any(|(section, names)| {
            setting.section == section.as_bytes() && names.iter().any(|name| setting.name == name.as_bytes())
        })
    };
    settings.0.iter().filter(move |setting| match setting.subsection {
        None => has(plain, setting),
        Some(_) => has(parts, setting),
    })
}

/// Refuses a format that git itself would read differently from what is known here.
pub(crate) fn check_extensions(settings: &Settings) -> Result<(), WorkspaceError> {
    let version = settings.get("core", "repositoryformatversion").unwrap_or(b"0");
    if !matches!(version, b"0" | b"1") {
        return Err(WorkspaceError::Extension {
            name: format!("repositoryFormatVersion = {}", crate::error::shown(version)),
        });
    }
    let known = |setting: &&Setting| {
        setting.section != b"extensions"
            || setting.subsection.is_none() && EXTENSIONS.iter().any(|known| setting.name == known.as_bytes())
    };
    let unknown = settings.0.iter().find(|setting| !known(setting));
    let storage = settings.get("extensions", "refstorage").unwrap_or(b"files");
    let format = settings.get("extensions", "objectformat").unwrap_or(b"sha1");
    let name = match unknown {
        Some(setting) => crate::error::shown(&setting.name),
        None if !matches!(storage, b"files" | b"reftable") => {
            format!("refStorage = {}", crate::error::shown(storage))
        }
        None if !matches!(format, b"sha1" | b"sha256") => {
            format!("objectFormat = {}", crate::error::shown(format))
        }
        None => return Ok(()),
    };
    Err(WorkspaceError::Extension { name })
}
