//! What is where once a guest's changes are there: what they bring, and what the host has, in its files, in a commit, or
//! in either of the two. Where there is more than one answer, each is looked at.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, open, openat, readlinkat, statat};

use super::Onto;
use super::named::Named;
use crate::beneath;
use crate::error::WorkspaceError;
use crate::patch::name::folded;
use crate::patch::{Change, FileMode};
use crate::repository::Repository;
use crate::tracked;

/// Steps that following all links may take together, and following one.
const STEPS: u64 = 2_000_000;
const STEPS_OF_ONE: u64 = 1024;
/// Most links on a way: where Linux gives up.
const HOPS: u32 = 40;
/// Most names that links give one file.
const ALIASES: usize = 64;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    File,
    /// With its target, where that is known.
    Link(Option<Vec<u8>>),
}

/// What is in a folder, by how a file system may take the names.
#[derive(Debug, Default)]
struct Folder(HashMap<String, Vec<(Vec<u8>, Entry)>>);

impl Folder {
    fn add(&mut self, name: &[u8], entry: Entry) {
        let same = self.0.entry(key(name)).or_default();
        if !same.iter().any(|(known, found)| known == name && *found == entry) {
            same.push((name.to_vec(), entry));
        }
    }
}

type Folders = HashMap<Vec<u8>, Folder>;

/// The ground that a patch comes onto, with the patch.
pub(super) struct Ground {
    top: std::os::fd::OwnedFd,
    /// Folders of the working tree, as far as they were looked at.
    listed: RefCell<HashMap<Vec<u8>, Rc<Folder>>>,
    committed: Folders,
    brought: Folders,
    gone: HashSet<Vec<u8>>,
    /// The host's own links.
    pub(super) links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Links by what they lead to.
    aliases: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    all_aliases: bool,
    named: Named,
    /// Folders that were looked at, and whether they are repositories.
    pub(super) repositories: RefCell<HashMap<Vec<u8>, bool>>,
    steps: Cell<u64>,
    nothing: Rc<Folder>,
}

/// Where a link leads.
#[derive(Debug, Default)]
pub(super) struct Leads {
    /// Out of the tree or into `.git`, or nobody knows where.
    pub(super) out: bool,
    /// Following it took too long: `out`, and what it leads to besides is not known.
    pub(super) unknown: bool,
    /// What it leads to inside.
    pub(super) to: Vec<Vec<u8>>,
}

impl Ground {
    pub(super) fn of(
        changes: &[Change],
        repository: &Repository,
        onto: Onto<'_>,
    ) -> Result<Self, WorkspaceError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = open(&repository.top, flags, Mode::empty()).map_err(|errno| {
            WorkspaceError::host("open", repository.top.display().to_string())(errno.into())
        })?;
        let mut ground = Self {
            top,
            listed: RefCell::default(),
            committed: Folders::new(),
            brought: Folders::new(),
            gone: HashSet::new(),
            links: Vec::new(),
            aliases: HashMap::new(),
            all_aliases: true,
            named: Named::by(repository),
            repositories: RefCell::default(),
            steps: Cell::new(STEPS),
            nothing: Rc::default(),
        };
        for change in changes {
            ground.bring(change);
        }
        match onto {
            Onto::Files | Onto::Commit(None) => {}
            Onto::Commit(Some(commit)) => ground.commit(repository, commit)?,
        }
        // Those that git does not track, too: what they lead to runs by their names all the same.
        let here = beneath::Folder::open(&repository.top)?.links()?;
        ground.links.extend(here);
        ground.find_aliases(changes);
        Ok(ground)
    }

    fn bring(&mut self, change: &Change) {
        let Some(mode) = change.after else {
            self.gone.insert(change.path.clone());
            return;
        };
        let (mut folder, name) = split(&change.path);
        let entry = match mode {
            FileMode::Link => Entry::Link(change.target.clone()),
            FileMode::Plain | FileMode::Executable => Entry::File,
        };
        self.brought.entry(folder.to_vec()).or_default().add(name, entry);
        while !folder.is_empty() {
            let (above, name) = split(folder);
            let known = self.brought.entry(above.to_vec()).or_default();
            known.add(name, Entry::Folder);
            folder = above;
        }
    }

    /// Keeps what of a commit's files can matter: links, parts of repositories, and all in folders that change.
    fn commit(&mut self, repository: &Repository, commit: &str) -> Result<(), WorkspaceError> {
        let mut found = Vec::new();
        for (path, mode, id) in tracked::of_commit(repository, commit)?.entries() {
            let (folder, name) = split(path);
            match mode {
                b"120000" => found.push((path.to_vec(), String::from_utf8_lossy(id).into_owned())),
                mode if super::places::is_part(name) || self.brought.contains_key(folder) => {
                    let entry = if mode == b"040000" {
                        Entry::Folder
                    } else {
                        Entry::File
                    };
                    let known = self.committed.entry(folder.to_vec()).or_default();
                    known.add(name, entry);
                }
                _ => {}
            }
        }
        let ids: Vec<&str> = found.iter().map(|(_, id)| id.as_str()).collect();
        let targets = tracked::targets(&repository.git, &ids)?;
        for ((path, _), target) in found.into_iter().zip(targets) {
            let (folder, name) = split(&path);
            let known = self.committed.entry(folder.to_vec()).or_default();
            known.add(name, Entry::Link(target.clone()));
            self.links.extend(target.map(|target| (path, target)));
        }
        Ok(())
    }

    fn find_aliases(&mut self, changes: &[Change]) {
        let brought = changes
            .iter()
            .filter(|change| change.after == Some(FileMode::Link))
            .filter_map(|change| Some((change.path.clone(), change.target.clone()?)));
        let all: Vec<_> = self.links.iter().cloned().chain(brought).collect();
        let mut aliases: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
        for (link, target) in all {
            let leads = self.follow(&link, &target, true);
            self.all_aliases &= !leads.unknown;
            for end in leads.to {
                if !end.is_empty() && end != link {
                    aliases.entry(end).or_default().push(link.clone());
                }
            }
        }
        self.aliases = aliases;
    }

    /// Further paths by which links lead to a path, and whether these are all.
    pub(super) fn aliases(&self, path: &[u8]) -> (Vec<Vec<u8>>, bool) {
        if self.aliases.is_empty() {
            return (Vec::new(), self.all_aliases);
        }
        let mut found: Vec<Vec<u8>> = vec![path.to_vec()];
        let mut at = 0;
        while at < found.len() {
            let path = found[at].clone();
            at += 1;
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            for end in ends.map(|(end, _)| end).chain([path.len()]) {
                for link in self.aliases.get(&path[..end]).into_iter().flatten() {
                    let alias = [link, &path[end..]].concat();
                    if found.contains(&alias) {
                        continue;
                    }
                    if found.len() > ALIASES {
                        return (found.split_off(1), false);
                    }
                    found.push(alias);
                }
            }
        }
        (found.split_off(1), self.all_aliases)
    }

    /// Whether the settings that git has here name a path, or a folder above it, as a place of programs or settings.
    pub(super) fn is_named_by_settings(&self, path: &[u8]) -> bool {
        self.named.holds(path)
    }

    /// Everything that a name of a folder may mean: exact names, and what a file system may take for the same.
    pub(super) fn look(
        &self,
        folder: &[u8],
        name: &str,
        with_brought: bool,
        found: &mut dyn FnMut(&[u8], &Entry),
    ) {
        let mut each = |known: &Folder| {
            for (name, entry) in known.0.get(name).into_iter().flatten() {
                found(name, entry);
            }
        };
        if with_brought && let Some(known) = self.brought.get(folder) {
            each(known);
        }
        if let Some(known) = self.committed.get(folder) {
            each(known);
        }
        each(&self.list(folder));
    }

    /// Another name in the same folder that some file system takes for this one's, and that stays.
    pub(super) fn twin(&self, folder: &[u8], name: &[u8]) -> Option<Vec<u8>> {
        let (mut is_there, mut twin) = (false, None);
        self.look(folder, &key(name), false, &mut |found, _| {
            is_there |= found == name;
        });
        self.look(folder, &key(name), true, &mut |found, _| {
            if found != name && !self.gone.contains(&joined(folder, found)) {
                twin = Some(found.to_vec());
            }
        });
        twin.filter(|_| !is_there)
    }

    /// A folder of the working tree, reached through no link.
    fn list(&self, folder: &[u8]) -> Rc<Folder> {
        if let Some(known) = self.listed.borrow().get(folder) {
            return Rc::clone(known);
        }
        let known = self.read_folder(folder).map(Rc::new);
        let known = known.unwrap_or_else(|| Rc::clone(&self.nothing));
        self.listed
            .borrow_mut()
            .insert(folder.to_vec(), Rc::clone(&known));
        known
    }

    /// What cannot be read is not there: nothing can be put into it either.
    fn read_folder(&self, path: &[u8]) -> Option<Folder> {
        // Its parent says whether it is there, so that a patch of many new folders costs no more than it has to.
        if !path.is_empty() {
            let (above, name) = split(path);
            let known = self.list(above);
            let same = known.0.get(&key(name))?;
            same.iter()
                .find(|(known, entry)| known == name && *entry == Entry::Folder)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = self.open(path, flags)?;
        let mut folder = Folder::default();
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut entries = RawDir::new(&opened, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.ok()?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map(|stat| FileType::from_raw_mode(stat.st_mode))
                    .unwrap_or(FileType::Unknown),
                kind => kind,
            };
            let found = match kind {
                FileType::Directory => Entry::Folder,
                FileType::Symlink => {
                    let target = readlinkat(&opened, name, Vec::new()).ok();
                    Entry::Link(target.map(|target| target.into_bytes()))
                }
                _ => Entry::File,
            };
            folder.add(name.to_bytes(), found);
        }
        Some(folder)
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Option<std::os::fd::OwnedFd> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut opened = openat(
            &self.top,
            c".",
            if path.is_empty() { flags } else { step },
            Mode::empty(),
        )
        .ok()?;
        let mut names = path.split(|byte| *byte == b'/').peekable();
        while let Some(name) = names.next().filter(|name| !name.is_empty()) {
            let flags = if names.peek().is_some() { step } else { flags };
            opened = openat(&opened, name, flags, Mode::empty()).ok()?;
        }
        Some(opened)
    }

    /// Follows a link to where it leads, through all links on its way, each of its meanings.
    pub(super) fn follow(&self, link: &[u8], target: &[u8], with_brought: bool) -> Leads {
        let mut leads = Leads::default();
        let (folder, _) = split(link);
        let at: Vec<Vec<u8>> = names(folder).map(<[u8]>::to_vec).collect();
        if target.is_empty() || target.starts_with(b"/") {
            leads.out = true;
            return leads;
        }
        let mut left = STEPS_OF_ONE.min(self.steps.get());
        let before = left;
        let ahead: Vec<Vec<u8>> = names(target).rev().map(<[u8]>::to_vec).collect();
        let mut ways = vec![(at, ahead, 0)];
        while let Some((mut at, mut ahead, hops)) = ways.pop() {
            loop {
                let Some(next) = left.checked_sub(1) else {
                    leads.out = true;
                    leads.unknown = true;
                    ways.clear();
                    break;
                };
                left = next;
                let Some(name) = ahead.pop() else {
                    leads.to.push(at.join(&b'/'));
                    break;
                };
                match name.as_slice() {
                    b"." => continue,
                    b".." if at.pop().is_some() => continue,
                    b".." => {
                        leads.out = true;
                        break;
                    }
                    name if crate::patch::name::is_git(name) => {
                        leads.out = true;
                        break;
                    }
                    _ => {}
                }
                let (mut others, mut is_link, mut is_else) = (Vec::new(), false, false);
                self.look(
                    &at.join(&b'/'),
                    &key(&name),
                    with_brought,
                    &mut |_, entry| match entry {
                        Entry::Link(target) => {
                            is_link = true;
                            others.push(target.clone());
                        }
                        Entry::File | Entry::Folder => is_else = true,
                    },
                );
                for target in others {
                    match target {
                        Some(target) if hops < HOPS && !target.is_empty() && !target.starts_with(b"/") => {
                            let mut ahead = ahead.clone();
                            ahead.extend(names(&target).rev().map(<[u8]>::to_vec));
                            ways.push((at.clone(), ahead, hops + 1));
                        }
                        _ => leads.out = true,
                    }
                }
                if is_link && !is_else {
                    break;
                }
                at.push(name);
            }
        }
        self.steps.set(self.steps.get() - (before - left));
        leads
    }
}

/// By what a file system knows a name that takes most names for the same.
pub(super) fn key(name: &[u8]) -> String {
    folded(name).collect::<Vec<_>>().join("\\")
}

/// The folder that a path lies in, and its name there.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_vec();
    }
    [folder, b"/", name].concat()
}

fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
}
