//! A guest's commits onto a branch of the host's: objects that were checked, in a place of their own until they were.
//!
//! ```text
//!  pack ──► quarantine: sizes ─► index-pack --strict ─► connected? leads back? ─► risks ─► objects/pack, then the branch
//! ```
//!
//! The guest's repository is never fetched from: what comes is a pack, and the id that it says it has checked out.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::Duration;

use process::Stream;

use crate::alternates::{ALTERNATES, one_path};
use crate::breaking::Changing;
use crate::error::WorkspaceError;
use crate::git::{Git, failed, said};
use crate::guest::{Guest, PULL};
use crate::owner::Temporary;
use crate::patch::{Change, FileMode, Onto, Risk, parse_raw, risk};
use crate::received::{self, LARGEST_CONTENT};
use crate::repository::{Repository, object};
use crate::tracked::{all, fed, targets};

mod trees;

/// Longest id of a commit, with its line's end.
const LONGEST_LINE: usize = 65;

/// Most time that git may take for each look at what came.
const LONGEST: Duration = Duration::from_secs(600);

/// Most bytes of the targets of links, of all commits.
const TARGETS: usize = 64 << 20;

/// Most bytes of a pack: no more than its objects may come to.
const LARGEST_PACK: u64 = LARGEST_CONTENT;

/// Commits that came, and that nothing refers to yet. Dropped, they are gone.
pub struct Pulled<'a> {
    repository: &'a Repository,
    quarantine: Temporary,
    /// What the guest has checked out.
    pub tip: String,
    /// How many commits came.
    pub commits: u64,
    /// What of all that the commits change to look at first, whether or not a later one takes it back.
    pub risks: Vec<Risk>,
}

impl std::fmt::Debug for Pulled<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Pulled");
        shown
            .field("tip", &self.tip)
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}

/// Takes the guest's commits since `base` into quarantine and checks them; nothing if there are none.
///
/// # Errors
/// [`WorkspaceError::Objects`] where they do not pass git's strictest checks or do not lead back to the base; the
/// repository is as it was.
pub fn pull<'a>(
    repository: &'a Repository,
    guest: &mut dyn Guest,
    path: &str,
    base: Option<&str>,
) -> Result<Option<Pulled<'a>>, WorkspaceError> {
    let _rights = repository.rights()?;
    if let Some(base) = base {
        repository.check_base(base)?;
    }
    let objects = repository.objects();
    let cannot = |source| WorkspaceError::host("write", objects.display().to_string())(source);
    // git's own name for such a folder: what a killed program leaves, `git gc` removes.
    let quarantine = tempfile::Builder::new()
        .prefix("tmp_objdir-banger-")
        .tempdir_in(&objects)
        .map_err(cannot)?;
    let quarantine = Temporary::new(quarantine, repository.owner());
    fs::create_dir(quarantine.path().join("pack")).map_err(cannot)?;
    let received = quarantine.path().join("received");
    let mut incoming = Incoming {
        line: Vec::new(),
        file: File::create_new(&received).map_err(cannot)?,
        left: LARGEST_PACK,
    };
    let outcome = PULL.run(
        guest,
        &[path, base.unwrap_or("-")],
        Box::new(io::empty()),
        &mut incoming,
    );
    if incoming.left == 0 {
        return Err(WorkspaceError::TooLarge {
            what: "pack of commits",
            limit: LARGEST_PACK,
        });
    }
    outcome?;
    let line = incoming.line.strip_suffix(b"\n").unwrap_or_default().to_vec();
    let tip = object(line).map_err(|_| refused("what the guest calls its commit is no id"))?;
    if Some(tip.as_str()) == base {
        return Ok(None);
    }
    let git = repository
        .git
        .clone()
        .with("GIT_OBJECT_DIRECTORY", quarantine.path())
        .with(ALTERNATES, one_path(&objects))
        .writing_for_now(quarantine.path())
        .for_at_most(LONGEST);
    let pack = File::open(&received).map_err(WorkspaceError::host("read", "the pack"))?;
    received::check(BufReader::with_capacity(64 << 10, pack), tip.len() / 2)?;
    index(&git, &received)?;
    fs::remove_file(&received).map_err(cannot)?;
    check(&git, &tip, base)?;
    let count = match base {
        Some(base) => git.read(
            "count the commits",
            ["rev-list", "--count", &tip, &format!("^{base}")],
        )?,
        None => git.read("count the commits", ["rev-list", "--count", &tip])?,
    };
    check_sizes(&git, &tip, base)?;
    let changes = changes(&git, &tip, base)?;
    let risks = risk::of(&changes, repository, Onto::Commit(base))?;
    let commits = String::from_utf8_lossy(&count).trim().parse().unwrap_or(0);
    Ok(Some(Pulled {
        repository,
        quarantine,
        tip,
        commits,
        risks,
    }))
}

/// Has git unpack and check each object, as strictly as it can. What the pack lacks is not taken from what is here: it
/// has all that it needs, and what is here may be of any size.
fn index(git: &Git, received: &std::path::Path) -> Result<(), WorkspaceError> {
    let limit = format!("--max-input-size={LARGEST_PACK}");
    let pack = File::open(received).map_err(WorkspaceError::host("read", "the pack"))?;
    let mut git = git.clone();
    // Larger ones go by in pieces; and as much of what deltas are made from is kept.
    git.set("core.bigFileThreshold", "16m");
    git.set("core.deltaBaseCacheLimit", "64m");
    let arguments = ["index-pack", "--stdin", "--strict", "--threads=1", &limit];
    let output = git.output_of("unpack the commits", arguments, Stream::Given(pack.into()))?;
    if !output.status.success() {
        return Err(WorkspaceError::Objects {
            why: said(&output.stderr),
        });
    }
    Ok(())
}

/// Whether the tip is a commit, all that it needs is there, and it leads back to the base.
fn check(git: &Git, tip: &str, base: Option<&str>) -> Result<(), WorkspaceError> {
    let kind = git.line(["cat-file", "-t", tip])?;
    if kind.as_deref() != Some(b"commit") {
        return Err(refused(
            "what the guest has checked out did not come, or is no commit",
        ));
    }
    let connected = git.output(
        "check the commits",
        ["rev-list", "--objects", "--quiet", tip, "--not", "--all"],
    )?;
    if !connected.status.success() {
        return Err(WorkspaceError::Objects {
            why: said(&connected.stderr),
        });
    }
    if let Some(base) = base {
        let leads = git.output("check the commits", ["merge-base", "--is-ancestor", base, tip])?;
        match leads.status.code() {
            Some(0) => {}
            Some(1) => return Err(refused("they do not lead back to the commit that was prepared")),
            _ => return Err(failed("check the commits", &leads)),
        }
    }
    Ok(())
}

/// Whether what came is as large as it looks: a small pack can hold what no memory does.
fn check_sizes(git: &Git, tip: &str, base: Option<&str>) -> Result<(), WorkspaceError> {
    let since = base.map(|base| format!("^{base}"));
    let names = ["rev-list", "--objects", "--no-object-names", tip].into_iter();
    let names = git.read("list what came", names.chain(since.as_deref()))?;
    let sizes = [
        "cat-file",
        "--batch-check=%(objectsize) %(objecttype) %(objectname)",
        "--buffer",
    ];
    let sizes = fed(git, "measure what came", &sizes, names, all)?;
    let mut whole = 0_u64;
    let mut trees = Vec::new();
    for line in sizes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let size = words
            .next()
            .and_then(|size| std::str::from_utf8(size).ok()?.parse().ok());
        whole = whole.saturating_add(size.ok_or(WorkspaceError::Answer("a size of an object"))?);
        if words.next() == Some(b"tree") {
            trees.extend_from_slice(words.next().unwrap_or_default());
            trees.push(b'\n');
        }
    }
    if whole > LARGEST_CONTENT {
        return Err(refused("they hold more than is taken"));
    }
    let has_empty = |printed: &mut dyn BufRead| trees::any_has_an_empty_folder(printed, tip.len() / 2);
    if fed(
        git,
        "read the folders that came",
        &["cat-file", "--batch", "--buffer"],
        trees,
        has_empty,
    )? {
        return Err(refused("they hold an empty folder, which git makes nowhere"));
    }
    Ok(())
}

/// All that the commits change, each by itself, and all together: what one brings and the next takes back may be checked
/// out in between.
fn changes(git: &Git, tip: &str, base: Option<&str>) -> Result<Vec<Change>, WorkspaceError> {
    let how = [
        "diff-tree",
        "-r",
        "-z",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "--no-commit-id",
        "-c",
        "--root",
    ];
    let since = base.map(|base| format!("^{base}"));
    let commits = git.read(
        "list the commits",
        ["rev-list", tip].into_iter().chain(since.as_deref()),
    )?;
    let each: Vec<&str> = how.iter().copied().chain(["--stdin"]).collect();
    let mut found = parse_raw(&fed(git, "compare the commits", &each, commits, all)?)?;
    if let Some(base) = base {
        let whole = how.iter().copied().chain([base, tip]);
        found.extend(parse_raw(&git.read("compare the commits", whole)?)?);
    }
    let is_link = |change: &Change| change.after == Some(FileMode::Link);
    let links = found.iter().filter(|(change, _)| is_link(change));
    let ids: Vec<&str> = links.map(|(_, id)| id.as_str()).collect();
    // A link whose target is not told is one to look at.
    let mut targets = targets(git, &ids, TARGETS)?.0.into_iter();
    let mut changes = Vec::with_capacity(found.len());
    for (mut change, _) in found {
        if is_link(&change) {
            change.target = targets.next().flatten();
        }
        changes.push(change);
    }
    Ok(changes)
}

fn refused(why: &str) -> WorkspaceError {
    WorkspaceError::Objects { why: why.to_owned() }
}

impl Pulled<'_> {
    /// Takes the objects into the repository and makes the branch, or moves it forward if it is checked out nowhere.
    ///
    /// # Errors
    /// The name is taken by other commits, or is checked out.
    pub fn keep_as(self, branch: &str) -> Result<(), WorkspaceError> {
        let _changing = Changing::begin()?;
        let repository = self.repository;
        let _rights = repository.rights()?;
        repository.check_branch(branch)?;
        let full = format!("refs/heads/{branch}");
        let taken = || WorkspaceError::BranchTaken {
            name: branch.to_owned(),
        };
        let before = repository
            .git
            .line(["rev-parse", "-q", "--verify", "--end-of-options", &full])?;
        let before = before.map(object).transpose()?;
        if let Some(before) = &before {
            let used = repository.is_checked_out(&full)?;
            let git = repository
                .git
                .clone()
                .with(ALTERNATES, one_path(self.quarantine.path()));
            let forward = git.output(
                "compare the branch",
                ["merge-base", "--is-ancestor", before, &self.tip],
            )?;
            if used || !forward.status.success() {
                return Err(taken());
            }
        }
        let git = repository.git_for_branches()?;
        let mut taken_in = Vec::new();
        let before = before.unwrap_or_else(|| "0".repeat(self.tip.len()));
        let kept = self.take_in(&mut taken_in).and_then(|()| {
            let made = git.read("make the branch", ["update-ref", &full, &self.tip, &before]);
            made.map(drop)
        });
        if kept.is_err() {
            // An index first. What cannot be removed, `git gc` removes: nothing refers to it.
            for file in taken_in.iter().rev() {
                let _ = fs::remove_file(file);
            }
        }
        kept
    }

    /// Moves the packs, an index after its pack: nobody sees a pack without all of its objects. `taken_in` are those that
    /// were not there.
    fn take_in(&self, taken_in: &mut Vec<PathBuf>) -> Result<(), WorkspaceError> {
        let objects = self.repository.objects().join("pack");
        let cannot = |source| WorkspaceError::host("write", objects.display().to_string())(source);
        fs::create_dir_all(&objects).map_err(cannot)?;
        let mut files: Vec<_> = fs::read_dir(self.quarantine.path().join("pack"))
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(cannot)?
            .into_iter()
            .map(|entry| entry.path())
            .collect();
        files.sort_by_key(|path| path.extension().is_some_and(|end| end == "idx"));
        for file in files {
            // Written by a git that read what the guest sent.
            let plain = file.symlink_metadata().map_err(cannot)?.is_file();
            if let Some(name) = file.file_name().filter(|name| plain && is_of_a_pack(name)) {
                let place = objects.join(name);
                let is_new = !place.try_exists().map_err(cannot)?;
                fs::rename(&file, &place).map_err(cannot)?;
                taken_in.extend(is_new.then_some(place));
            }
        }
        Ok(())
    }
}

/// Whether a file's name is one that git gives to a pack or to what belongs to it.
fn is_of_a_pack(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let id = name.strip_prefix(b"pack-").unwrap_or_default();
    let mut parts = id.splitn(2, |byte| *byte == b'.');
    let hex = parts.next().unwrap_or_default();
    matches!(hex.len(), 40 | 64)
        && hex.iter().all(u8::is_ascii_hexdigit)
        && matches!(parts.next(), Some(b"pack" | b"idx" | b"rev"))
}

/// A line, then a pack.
struct Incoming {
    line: Vec<u8>,
    file: File,
    left: u64,
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while self.line.last() != Some(&b'\n') {
            let Some((byte, after)) = rest.split_first() else {
                return Ok(bytes.len());
            };
            if self.line.len() == LONGEST_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.line.push(*byte);
            rest = after;
        }
        self.left = self.left.saturating_sub(rest.len() as u64);
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all(rest)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
