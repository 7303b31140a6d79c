//! Work in a guest's workspace that the host's repository does not have: what is lost with the guest.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;

use crate::beneath::Folder;
use crate::bounded::Bounded;
use crate::digest::Format;
use crate::error::{WorkspaceError, shown, shown_in_part};
use crate::guest::{Guest, UNSAVED};
use crate::patch::name;
use crate::repository::{Repository, object};
use crate::tracked::{all, fed};

/// Most commits that are asked for.
const MOST_COMMITS: usize = 1000;
/// How much of a commit's first line is shown, in bytes.
const SUBJECT: usize = 200;
/// Most bytes of a path: PATH_MAX of Linux.
const LONGEST_PATH: usize = 4096;
/// Most bytes of an answer, and of a file of the host's that is compared.
const LARGEST_ANSWER: u64 = 16 << 20;
const LARGEST_FILE: u64 = 64 << 20;

/// Work that is in the guest only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsaved {
    /// Commits, the newest first; of many, the newest alone.
    pub commits: Vec<UnsavedCommit>,
    /// Files that are otherwise than the host has them.
    pub files: Vec<UnsavedFile>,
    /// Whether programs run in it, which may write on.
    pub busy: bool,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsavedCommit {
    /// Its id.
    pub id: String,
    /// Its first line, fit for a terminal.
    pub subject: String,
}

/// A file against what the guest was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsavedFile {
    /// `new`, `changed` or `deleted`.
    pub what: &'static str,
    /// Its path below the workspace, fit for a terminal.
    pub path: String,
}

impl Unsaved {
    /// Whether nothing is lost with the guest.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.files.is_empty()
    }
}

/// Looks for work in the workspace at `path`. Without a repository on the host, all of it is in the guest only.
///
/// # Errors
/// There is no workspace, or the guest's answer makes no sense.
pub fn unsaved(
    guest: &mut dyn Guest,
    path: &str,
    repository: Option<&Repository>,
) -> Result<Unsaved, WorkspaceError> {
    let answer = ask(guest, path, "all")?;
    let parsed = parse(&answer)?;
    let Parsed { commits, files, .. } = parsed;
    let mut found = Unsaved {
        commits,
        files: Vec::new(),
        busy: parsed.busy,
    };
    let _rights = repository.map(Repository::rights).transpose()?;
    let mut taken = HashSet::new();
    if let Some(repository) = repository {
        let ids = found.commits.iter().map(|commit| commit.id.as_str());
        let had = had(repository, ids)?;
        if !had.is_empty() {
            // Commits came, and their files with them, wherever these are now.
            let contents = files.iter().filter(|file| file.is_content());
            let ids = contents.filter_map(|file| std::str::from_utf8(file.id).ok());
            taken = self::had(
                repository,
                ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit())),
            )?;
        }
        found.commits.retain(|commit| !had.contains(&commit.id));
    }
    let top = repository
        .map(|repository| Folder::open(&repository.top))
        .transpose()?;
    let format = repository.map_or(Format::Sha1, Repository::format);
    for file in files {
        let same = top.as_ref().is_some_and(|top| file.is_on_host(top, format));
        // One that is not checked out is no work.
        let absent = (file.before, file.after) == (GITLINK, b"000000");
        let taken = file.is_content() && taken.contains(&*String::from_utf8_lossy(file.id));
        if !same && !absent && !taken {
            found.files.push(file.shown());
        }
    }
    Ok(found)
}

/// What a patch of a workspace does not carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BesidePatch {
    /// Commits that are not on its branch, repositories in it, and worktrees beside it.
    pub left: Unsaved,
    /// How many commits are on its branch: their changes are in the patch, they themselves are not.
    pub commits: u64,
}

/// Looks for what a patch of the workspace at `path` leaves in the guest.
///
/// # Errors
/// As of [`unsaved`].
pub fn beside_patch(guest: &mut dyn Guest, path: &str) -> Result<BesidePatch, WorkspaceError> {
    let answer = ask(guest, path, "beside")?;
    let parsed = parse(&answer)?;
    let files = parsed.files.iter().filter(|file| file.after == GITLINK);
    let left = Unsaved {
        commits: parsed.commits,
        files: files.map(Raw::shown).collect(),
        busy: parsed.busy,
    };
    Ok(BesidePatch {
        left,
        commits: parsed.on_branch,
    })
}

fn ask(guest: &mut dyn Guest, path: &str, which: &str) -> Result<Vec<u8>, WorkspaceError> {
    let mut answer = Vec::new();
    let mut bounded = Bounded {
        output: &mut answer,
        left: LARGEST_ANSWER,
        over: false,
    };
    let most = MOST_COMMITS.to_string();
    let outcome = UNSAVED.run(guest, &[path, &most, which], Box::new(io::empty()), &mut bounded);
    if bounded.over {
        return Err(WorkspaceError::Answer("the guest's list of work is too long"));
    }
    outcome?;
    Ok(answer)
}

/// Mode of a repository inside another one.
const GITLINK: &[u8] = b"160000";

/// A line of what the guest's git says of its files.
struct Raw<'a> {
    before: &'a [u8],
    after: &'a [u8],
    id_before: &'a [u8],
    id: &'a [u8],
    path: &'a [u8],
}

impl Raw<'_> {
    fn what(&self) -> &'static str {
        match (self.before, self.after) {
            (b"000000", _) => "new",
            (_, b"000000") => "deleted",
            _ => "changed",
        }
    }

    fn shown(&self) -> UnsavedFile {
        UnsavedFile {
            what: self.what(),
            path: shown_in_part(self.path),
        }
    }

    /// Whether what the file holds is what is to be lost: of a repository inside it is more than its commit, and of a file
    /// whose mode alone is another, that mode.
    fn is_content(&self) -> bool {
        self.after != GITLINK && self.id != self.id_before
    }

    /// Whether the host's file is just so. What cannot be compared is not.
    fn is_on_host(&self, top: &Folder, format: Format) -> bool {
        let path = Path::new(OsStr::from_bytes(self.path));
        if name::check(self.path).is_err() {
            return false;
        }
        let Ok(stat) = top.stat(path) else { return false };
        let Some(stat) = stat else {
            return self.after == b"000000";
        };
        let read = |top: &Folder| top.read(path, LARGEST_FILE).ok().flatten();
        let content = match (FileType::from_raw_mode(stat.st_mode), self.after) {
            (FileType::RegularFile, b"100644") if stat.st_mode & 0o100 == 0 => read(top),
            (FileType::RegularFile, b"100755") if stat.st_mode & 0o100 != 0 => read(top),
            // Over no link: the folder's own path is canonical, and what is behind a link is no file of the tree.
            (FileType::Symlink, b"120000") => {
                let place = top.path.join(path);
                let target = std::fs::read_link(place).ok();
                target.map(|target| target.into_os_string().into_encoded_bytes())
            }
            _ => None,
        };
        content.is_some_and(|content| {
            let mut digest = format.digest();
            digest.update(format!("blob {}\0", content.len()).as_bytes());
            digest.update(&content);
            let id: String = digest.finish().iter().map(|byte| format!("{byte:02x}")).collect();
            id.as_bytes() == self.id
        })
    }
}

/// A guest's answer.
struct Parsed<'a> {
    on_branch: u64,
    busy: bool,
    commits: Vec<UnsavedCommit>,
    files: Vec<Raw<'a>>,
}

fn parse(answer: &[u8]) -> Result<Parsed<'_>, WorkspaceError> {
    parse_or_none(answer).ok_or(WorkspaceError::Answer("the guest's list of work"))
}

fn parse_or_none(answer: &[u8]) -> Option<Parsed<'_>> {
    let mut parts = answer.split(|byte| *byte == 0);
    let (number, busy) = std::str::from_utf8(parts.next()?).ok()?.split_once(' ')?;
    let (on_branch, busy) = (number.parse().ok()?, busy == "busy");
    let mut commits = Vec::new();
    loop {
        let line = parts.next()?;
        if line.is_empty() {
            break;
        }
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let id = object(line[..end].to_vec()).ok()?;
        commits.push(UnsavedCommit {
            id,
            subject: shown(&line[(end + 1).min(line.len())..line.len().min(end + 1 + SUBJECT)]),
        });
        if commits.len() > MOST_COMMITS {
            return None;
        }
    }
    let mut files = Vec::new();
    let mut repositories = HashSet::new();
    // Behind the last one nothing follows.
    let mut parts = parts.filter(|part| !part.is_empty());
    while let Some(line) = parts.next() {
        let mut words = line.strip_prefix(b":")?.split(|byte| *byte == b' ');
        let (before, after, id_before, id) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let path = parts.next().filter(|path| path.len() <= LONGEST_PATH)?;
        // One that is at another commit may hold changes, too.
        if after == GITLINK && !repositories.insert(path) {
            continue;
        }
        files.push(Raw {
            before,
            after,
            id_before,
            id,
            path,
        });
    }
    Some(Parsed {
        on_branch,
        busy,
        commits,
        files,
    })
}

/// Which of the objects the host has.
fn had<'a>(
    repository: &Repository,
    ids: impl Iterator<Item = &'a str>,
) -> Result<HashSet<String>, WorkspaceError> {
    let wanted: String = ids.map(|id| format!("{id}\n")).collect();
    if wanted.is_empty() {
        return Ok(HashSet::new());
    }
    let arguments = ["cat-file", "--batch-check"];
    let listed = fed(
        &repository.git,
        "look for objects",
        &arguments,
        wanted.into(),
        |printed| all(printed),
    )?;
    let listed = String::from_utf8_lossy(&listed);
    let here = listed.lines().filter_map(|line| {
        let (id, rest) = line.split_once(' ')?;
        (rest != "missing").then(|| id.to_owned())
    });
    Ok(here.collect())
}
