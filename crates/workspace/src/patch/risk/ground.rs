//! What is where once a guest's changes are there: what they bring, and what the host has, in its files, in a commit, or
//! in either of the two. Where there is more than one answer, each is looked at.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, open, openat, readlinkat, statat};

use super::Onto;
use super::follow::STEPS;
use super::named::Named;
use crate::error::WorkspaceError;
use crate::patch::name::folded;
use crate::patch::{Change, FileMode};
use crate::repository::Repository;
use crate::tracked;
use crate::{beneath, breaking};

/// Most names that links give one file.
const ALIASES: usize = 64;
/// Most bytes of links that are kept: once of all in a commit, once of all in the working tree, and once of those in its
/// folders that links lead through.
const LINKS: usize = 64 << 20;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    File,
    /// With its target, where that is known.
    Link(Option<Rc<[u8]>>),
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
    pub(super) links: Vec<(Vec<u8>, Rc<[u8]>)>,
    /// Links by what they lead to.
    aliases: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    /// Whether each link was followed to its end.
    all: Cell<bool>,
    named: Named,
    /// Folders that were looked at, and whether they are repositories.
    pub(super) repositories: RefCell<HashMap<Vec<u8>, bool>>,
    /// What is left of steps, and of bytes of targets in folders.
    pub(super) steps: Cell<u64>,
    room: Cell<usize>,
    nothing: Rc<Folder>,
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
            all: Cell::new(true),
            named: Named::by(repository),
            repositories: RefCell::default(),
            steps: Cell::new(STEPS),
            room: Cell::new(LINKS),
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
        let (here, all) = beneath::Folder::open(&repository.top)?.links(LINKS)?;
        let here = here.into_iter().map(|(link, target)| (link, target.into()));
        ground.links.extend(here);
        ground.all.set(ground.all.get() && all);
        ground.find_aliases(changes)?;
        Ok(ground)
    }

    fn bring(&mut self, change: &Change) {
        let Some(mode) = change.after else {
            self.gone.insert(change.path.clone());
            return;
        };
        let entry = match mode {
            FileMode::Link => Entry::Link(change.target.as_deref().map(Rc::from)),
            FileMode::Plain | FileMode::Executable => Entry::File,
        };
        add(&mut self.brought, &change.path, entry);
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
        let (targets, all) = tracked::targets(&repository.git, &ids, LINKS)?;
        self.all.set(all);
        for ((path, _), target) in found.into_iter().zip(targets) {
            let target: Option<Rc<[u8]>> = target.map(Rc::from);
            add(&mut self.committed, &path, Entry::Link(target.clone()));
            self.links.extend(target.map(|target| (path, target)));
        }
        Ok(())
    }

    fn find_aliases(&mut self, changes: &[Change]) -> Result<(), WorkspaceError> {
        let mut aliases: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
        let mut find = |link: &[u8], target: &Rc<[u8]>| {
            let leads = self.follow(link, target, true);
            if leads.unknown {
                self.all.set(false);
            }
            for end in leads.to {
                if !end.is_empty() && end != link {
                    aliases.entry(end).or_default().push(link.to_vec());
                }
            }
            // Nothing is begun that nobody has the steps for, nor where this is to end.
            self.steps.get() > 0 && breaking::check().is_ok()
        };
        let brought = changes
            .iter()
            .filter(|change| change.after == Some(FileMode::Link))
            .filter_map(|change| Some((change.path.as_slice(), Rc::from(change.target.as_deref()?))));
        let _ = self.links.iter().all(|(link, target)| find(link, target)) && { brought }
            .all(|(link, target)| find(link, &target));
        breaking::check()?;
        self.aliases = aliases;
        Ok(())
    }

    /// Whether everything is known that links lead to.
    pub(super) fn knows_all(&self) -> bool {
        self.all.get() && self.steps.get() > 0
    }

    /// Further paths by which links lead to a path, and whether these are all that those links give it that are known.
    pub(super) fn aliases(&self, path: &[u8]) -> (Vec<Vec<u8>>, bool) {
        if self.aliases.is_empty() {
            return (Vec::new(), true);
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
        (found.split_off(1), true)
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
                    Entry::Link(target.and_then(|target| self.kept(target.as_bytes())))
                }
                _ => Entry::File,
            };
            folder.add(name.to_bytes(), found);
        }
        Some(folder)
    }

    /// A target, while there is room for it.
    fn kept(&self, target: &[u8]) -> Option<Rc<[u8]>> {
        let Some(room) = self.room.get().checked_sub(target.len()) else {
            self.all.set(false);
            return None;
        };
        self.room.set(room);
        Some(target.into())
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

/// Notes what is at a path, with the folders that it lies in.
fn add(folders: &mut Folders, path: &[u8], entry: Entry) {
    let (mut folder, name) = split(path);
    folders.entry(folder.to_vec()).or_default().add(name, entry);
    while !folder.is_empty() {
        let (above, name) = split(folder);
        folders
            .entry(above.to_vec())
            .or_default()
            .add(name, Entry::Folder);
        folder = above;
    }
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_vec();
    }
    [folder, b"/", name].concat()
}

pub(super) fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
}
