//! Which files go: what git tracks, as it is in the working tree; untracked ones where asked for; ignored ones never.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{WorkspaceError, shown};
use crate::patch::name;
use crate::repository::{Head, Repository};
use crate::status::{self, Edit, Entry, Version};
use crate::{gitlinks, partial, settings};

/// How much of the history goes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The commit alone.
    #[default]
    Shallow,
    /// All commits that lead to it.
    Full,
    /// The commit without what its files hold, which a guest fetches by itself, from where the repository came from.
    Metadata,
}

/// What the user asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// How much of the history goes along.
    pub mode: Mode,
    /// Files that git does not track go too; ignored ones never.
    pub untracked: bool,
    /// The branch to be on in the guest, made anew.
    pub branch: Option<String>,
    /// This commit and its files instead of what is checked out.
    pub from: Option<String>,
}

/// What goes into a guest.
#[derive(Clone, Debug)]
pub struct Selection {
    /// What will be checked out in the guest.
    pub head: Head,
    /// The commit there; none before the first one.
    pub commit: Option<String>,
    pub(crate) mode: Mode,
    /// Entries of the index that differ from the commit, for `git update-index -z --index-info`.
    pub(crate) staged: Vec<u8>,
    pub(crate) unmerged: Vec<u8>,
    /// Objects that only the index knows.
    pub(crate) blobs: Vec<String>,
    /// NUL after each: paths of `git add -N`.
    pub(crate) intended: Vec<u8>,
    /// Patterns of a sparse checkout.
    pub(crate) sparse: Option<Vec<u8>>,
    /// Objects of files that a sparse checkout leaves out, in a repository that may lack them.
    outside: HashSet<String>,
    /// The remote that has what the guest is not given.
    pub(crate) promisor: Option<String>,
    /// Files whose bytes are taken from the working tree, below its top.
    pub edited: Vec<Vec<u8>>,
    /// Those of them that git does not track.
    pub(crate) untracked: Vec<Vec<u8>>,
    /// Tracked files that are not there.
    pub deleted: Vec<Vec<u8>>,
    /// Submodules that are checked out, below the top: workspaces of their own.
    pub submodules: Vec<Vec<u8>>,
    /// Submodules that nothing declares and that are not checked out: each goes as an empty folder.
    pub undeclared: Vec<Vec<u8>>,
    /// Every file that the guest will have, sorted.
    pub files: Vec<Vec<u8>>,
    /// Untracked files that stay behind, since they were not asked for.
    pub left_behind: usize,
    /// Untracked files that never go, since git takes their names for its own.
    pub refused: usize,
    /// Repositories inside of this one that it does not track, linked worktrees among them, below the top; none goes.
    pub inner: Vec<Vec<u8>>,
    /// Files of Git LFS that go as the pointers they are in the repository.
    pub pointers: usize,
}

/// How the working tree differs from the index, and that from the head.
const STATUS: [&str; 8] = [
    "status",
    "--porcelain=v2",
    "-z",
    "--untracked-files=all",
    "--ignored=no",
    "--no-renames",
    "--ignore-submodules=dirty",
    "--no-ahead-behind",
];

/// One entry of the index.
struct Tracked {
    absent: bool,
    submodule: bool,
    /// The object of one that is absent, where that may be missing.
    object: Option<String>,
    path: Vec<u8>,
}

impl Selection {
    /// Looks at the repository; nothing of it is changed or executed.
    ///
    /// # Errors
    /// It has submodules, `from` or `branch` make no sense, or git fails.
    pub fn of(repository: &Repository, choice: &Choice) -> Result<Self, WorkspaceError> {
        let _rights = repository.rights()?;
        if let Some(branch) = &choice.branch {
            repository.check_branch(branch)?;
        }
        let mut selection = match &choice.from {
            _ if choice.mode == Mode::Metadata => Self::of_metadata(repository, choice.from.as_deref())?,
            Some(reference) => Self::of_commit(repository, reference)?,
            None => Self::of_tree(repository, choice)?,
        };
        selection.mode = choice.mode;
        let outside = std::mem::take(&mut selection.outside);
        if partial::check(repository, &selection, &outside)? && selection.promisor.is_none() {
            selection.promisor =
                Some(settings::first_remote(&repository.settings).ok_or(WorkspaceError::NoRemote)?);
        }
        if let Some(branch) = &choice.branch {
            selection.head = Head::Branch(branch.clone());
        }
        Ok(selection)
    }

    pub(crate) fn empty(repository: &Repository) -> Self {
        Self {
            head: repository.head.clone(),
            commit: repository.commit.clone(),
            mode: Mode::default(),
            staged: Vec::new(),
            unmerged: Vec::new(),
            blobs: Vec::new(),
            intended: Vec::new(),
            sparse: None,
            promisor: None,
            edited: Vec::new(),
            untracked: Vec::new(),
            deleted: Vec::new(),
            submodules: Vec::new(),
            undeclared: Vec::new(),
            outside: HashSet::new(),
            files: Vec::new(),
            left_behind: 0,
            refused: 0,
            inner: Vec::new(),
            pointers: 0,
        }
    }

    fn of_commit(repository: &Repository, reference: &str) -> Result<Self, WorkspaceError> {
        let commit = repository.resolve(reference)?;
        let listed = repository.git.read(
            "list the commit's files",
            ["ls-tree", "-r", "-z", "--full-tree", &commit],
        )?;
        let mut tracked = Vec::new();
        for line in listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let (words, path) = split_tab(line).ok_or(WorkspaceError::Answer("a line of a tree"))?;
            tracked.push(Tracked {
                absent: false,
                submodule: words.starts_with(b"160000"),
                object: None,
                path: path.to_vec(),
            });
        }
        check_names(&tracked)?;
        let undeclared = undeclared_of(repository, &tracked, Some(&commit))?;
        refuse_submodules(&tracked, &undeclared)?;
        let tracked = tracked.into_iter().filter(|entry| !entry.submodule);
        Ok(Self {
            head: if repository.is_branch(reference)? {
                Head::Branch(reference.to_owned())
            } else {
                Head::Detached
            },
            commit: Some(commit),
            files: tracked.map(|entry| entry.path).collect(),
            undeclared,
            ..Self::empty(repository)
        })
    }

    fn of_tree(repository: &Repository, choice: &Choice) -> Result<Self, WorkspaceError> {
        let git = &repository.git;
        // Neither waits for the other.
        let (listed, status) = std::thread::scope(|scope| {
            let listed = scope.spawn(|| git.read("list the files", ["ls-files", "-s", "-t", "-z"]));
            let status = git.read_tree("look for changes", STATUS);
            let listed = listed.join();
            (
                listed.unwrap_or(Err(WorkspaceError::Answer("no list of its files"))),
                status,
            )
        });
        let tracked = index(&listed?, repository.is_partial())?;
        check_names(&tracked)?;
        let undeclared = undeclared_of(repository, &tracked, None)?;
        if choice.mode == Mode::Shallow {
            refuse_submodules(&tracked, &undeclared)?;
        }
        let mut selection = Self::empty(repository);
        for entry in status::parse(&status?)? {
            selection.add(&repository.top, entry, choice.untracked);
        }
        // Not work that was done here: there is no way to have them.
        selection
            .deleted
            .retain(|path| undeclared.binary_search(path).is_err());
        selection.undeclared = undeclared;
        selection.outside = tracked.iter().filter_map(|entry| entry.object.clone()).collect();
        check_kinds(&repository.top, &selection.edited)?;
        // Those that only the commit has.
        selection.deleted.iter().try_for_each(|path| check_name(path))?;
        let deleted: HashSet<&[u8]> = selection.deleted.iter().map(Vec::as_slice).collect();
        let (submodules, tracked): (Vec<_>, Vec<_>) = tracked.into_iter().partition(|entry| entry.submodule);
        let here = tracked
            .into_iter()
            .filter(|entry| !entry.absent && !deleted.contains(&*entry.path));
        let mut files: Vec<Vec<u8>> = here.map(|entry| entry.path).collect();
        files.extend(selection.edited.iter().cloned());
        files.sort_unstable();
        files.dedup();
        selection.files = files;
        selection.submodules = checked_out(&repository.top, submodules);
        selection.edited.sort_unstable();
        selection.untracked.sort_unstable();
        selection.sparse = sparse(repository);
        selection.pointers = selection.pointers_of(repository)?;
        Ok(selection)
    }

    fn add(&mut self, top: &Path, entry: Entry, untracked: bool) {
        match entry {
            // A repository inside of this one is listed as a folder.
            Entry::Untracked(path) if path.ends_with(b"/") => self.inner.push(path),
            Entry::Untracked(path) if name::check(&path).is_err() => self.refused += 1,
            Entry::Untracked(_) if !untracked => self.left_behind += 1,
            Entry::Untracked(path) => {
                self.untracked.push(path.clone());
                self.edited.push(path);
            }
            Entry::Unmerged { stages, path } => {
                line(&mut self.staged, &Version::none(), None, &path);
                line(&mut self.unmerged, &Version::none(), None, &path);
                for (version, stage) in stages.iter().zip(1..).filter(|(version, _)| version.exists()) {
                    line(&mut self.unmerged, version, Some(stage), &path);
                    self.blobs.push(version.object.clone());
                }
                self.edited_or_deleted(top, path);
            }
            Entry::Changed {
                submodule: true,
                staged,
                edit,
                path,
                ..
            } => {
                if let Some(version) = staged {
                    line(&mut self.staged, &version, None, &path);
                }
                if edit == Edit::Deleted {
                    self.deleted.push(path);
                }
            }
            Entry::Changed {
                staged,
                edit,
                intended,
                path,
                ..
            } => {
                if let Some(version) = staged {
                    line(&mut self.staged, &version, None, &path);
                    if version.exists() {
                        self.blobs.push(version.object);
                    }
                }
                if intended {
                    self.intended.extend_from_slice(&path);
                    self.intended.push(0);
                }
                match edit {
                    Edit::None => {}
                    Edit::Changed => self.edited.push(path),
                    Edit::Deleted => self.deleted.push(path),
                }
            }
        }
    }

    fn edited_or_deleted(&mut self, top: &Path, path: Vec<u8>) {
        let there = top.join(std::ffi::OsStr::from_bytes(&path)).symlink_metadata();
        if there.is_ok_and(|found| !found.is_dir()) {
            self.edited.push(path);
        } else {
            self.deleted.push(path);
        }
    }

    /// How many files of Git LFS go as they are in the repository.
    fn pointers_of(&self, repository: &Repository) -> Result<usize, WorkspaceError> {
        // Who has no attributes has no such files.
        let is_rules = |path: &Vec<u8>| path == b".gitattributes" || path.ends_with(b"/.gitattributes");
        if !repository.has_attributes && !self.files.iter().any(is_rules) {
            return Ok(0);
        }
        let git = repository.git.clone().with("GIT_LITERAL_PATHSPECS", "0");
        let listed = git.read_tree("look for Git LFS", ["ls-files", "-z", "--", ":(attr:filter=lfs)"])?;
        let edited: HashSet<&[u8]> = self.edited.iter().map(Vec::as_slice).collect();
        let paths = listed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(paths.filter(|path| !edited.contains(path)).count())
    }
}

impl Version {
    fn none() -> Self {
        Self {
            mode: "0".to_owned(),
            object: "0".repeat(40),
        }
    }
}

/// A line for `git update-index -z --index-info`.
fn line(list: &mut Vec<u8>, version: &Version, stage: Option<u8>, path: &[u8]) {
    list.extend_from_slice(version.mode.as_bytes());
    list.push(b' ');
    list.extend_from_slice(version.object.as_bytes());
    if let Some(stage) = stage {
        list.extend_from_slice(format!(" {stage}").as_bytes());
    }
    list.push(b'\t');
    list.extend_from_slice(path);
    list.push(0);
}

pub(crate) fn split_tab(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    Some((&line[..tab], &line[tab + 1..]))
}

/// Reads `git ls-files -s -t -z`. Of files that are left out, the objects are kept where the repository is a partial clone.
fn index(listed: &[u8], partial: bool) -> Result<Vec<Tracked>, WorkspaceError> {
    let lines = listed.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    let entry = |line| {
        let (words, path) = split_tab(line)?;
        let mut words = words.split(|byte| *byte == b' ');
        let (tag, mode, object) = (words.next()?, words.next()?, words.next()?);
        let absent = tag == b"S";
        Some(Tracked {
            absent,
            submodule: mode == b"160000",
            object: (absent && partial).then(|| String::from_utf8_lossy(object).into_owned()),
            path: path.to_vec(),
        })
    };
    lines
        .map(entry)
        .collect::<Option<_>>()
        .ok_or(WorkspaceError::Answer("a line of its index"))
}

/// Refuses names that git never adds and does not look for in an index or a commit that it reads: by those, files of
/// `.git` itself would be edited files of the tree.
fn check_names(tracked: &[Tracked]) -> Result<(), WorkspaceError> {
    tracked.iter().try_for_each(|entry| check_name(&entry.path))
}

fn check_name(path: &[u8]) -> Result<(), WorkspaceError> {
    name::check(path).map_err(|why| WorkspaceError::Tracked {
        path: shown(path),
        why,
    })
}

/// Refuses what is no file any more and looks changed to git: it has no content that could go.
fn check_kinds(top: &Path, edited: &[Vec<u8>]) -> Result<(), WorkspaceError> {
    for path in edited {
        let place = top.join(std::ffi::OsStr::from_bytes(path));
        // One that vanished meanwhile is found out when it is read.
        let kind = place.symlink_metadata().map(|found| found.file_type());
        if kind.is_ok_and(|kind| !kind.is_file() && !kind.is_symlink() && !kind.is_dir()) {
            return Err(WorkspaceError::NoFile {
                path: place,
                why: "is a pipe, a socket or a device, in the place of a file that git tracks".to_owned(),
            });
        }
    }
    Ok(())
}

fn undeclared_of(
    repository: &Repository,
    tracked: &[Tracked],
    from: Option<&str>,
) -> Result<Vec<Vec<u8>>, WorkspaceError> {
    let submodules = tracked.iter().filter(|entry| entry.submodule);
    gitlinks::undeclared(repository, submodules.map(|entry| &*entry.path), from)
}

fn refuse_submodules(tracked: &[Tracked], undeclared: &[Vec<u8>]) -> Result<(), WorkspaceError> {
    let mut submodules = tracked
        .iter()
        .filter(|entry| entry.submodule && undeclared.binary_search(&entry.path).is_err());
    let Some(first) = submodules.next() else {
        return Ok(());
    };
    Err(WorkspaceError::Submodules {
        count: 1 + submodules.count(),
        first: shown(&first.path),
    })
}

/// Those that are there, by no link.
fn checked_out(top: &Path, submodules: Vec<Tracked>) -> Vec<Vec<u8>> {
    let paths = submodules.into_iter().map(|entry| entry.path);
    let there = |path: &Vec<u8>| {
        let folder = top.join(std::ffi::OsStr::from_bytes(path));
        let repository = folder.join(".git").symlink_metadata().is_ok();
        repository && folder.canonicalize().is_ok_and(|found| found == folder)
    };
    paths
        .filter(|path| name::check(path).is_ok())
        .filter(there)
        .collect()
}

/// The patterns of a sparse checkout, if this is one.
fn sparse(repository: &Repository) -> Option<Vec<u8>> {
    let on = repository.settings.is_on("core", "sparsecheckout");
    repository.parts.sparse.clone().filter(|_| on)
}
