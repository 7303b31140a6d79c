//! The folders from the target down to the member at hand, each held open, so that no name on the way is looked up
//! twice and no link is ever followed.
//!
//! A folder that was not there is made under a name of its own and gets its final one when everything in it is
//! whole. What is made in such a folder needs no such care: nobody finds it.
//!
//! Names come here checked, and are held here once more: where all is to lie below one name, nothing else is made,
//! opened or replaced in the target, whatever a caller overlooked.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fchmod, mkdirat, renameat};
use rustix::io::Errno;

use crate::attributes::Attributes;
use crate::error::ArchiveError;
use crate::leftover;
use crate::system::{FOLDER, beneath};
use crate::unpack::Keep;

/// How a folder is opened that is there already.
const LOOKED_AT: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
/// Mode of a folder while things are made in it.
const WHILE_OPEN: Mode = Mode::RWXU;
/// Mode of a folder that no member tells of.
const UNTOLD: u32 = 0o755;

/// Begins each name of our own.
const PREFIX: &str = ".banger-cp-";
/// How often something is made anew that another command took for left over.
const ATTEMPTS: u32 = 10;

/// Names that nobody else has.
#[derive(Debug)]
struct FreshNames {
    prefix: String,
    count: u64,
}

impl FreshNames {
    fn new() -> Self {
        let random = RandomState::new().build_hasher().finish();
        Self {
            prefix: format!("{PREFIX}{random:016x}"),
            count: 0,
        }
    }

    fn next(&mut self) -> String {
        self.count += 1;
        format!("{}-{}", self.prefix, self.count)
    }

    /// Whether a name is one of these, of whatever process.
    fn is_one(name: &[u8]) -> bool {
        let rest = name.strip_prefix(PREFIX.as_bytes());
        let Some((random, b'-', count)) = rest
            .and_then(|rest| rest.split_at_checked(16))
            .and_then(|(random, rest)| rest.split_first().map(|(dash, count)| (random, *dash, count)))
        else {
            return false;
        };
        random.iter().all(u8::is_ascii_hexdigit) && !count.is_empty() && count.iter().all(u8::is_ascii_digit)
    }
}

/// What a folder gets in the end.
#[derive(Debug)]
enum Due {
    /// Nothing: it was there.
    Nothing,
    /// The mode of a folder that no member tells of.
    Mode,
    /// What its member says.
    Attributes(Attributes),
}

#[derive(Debug)]
struct Level {
    folder: OwnedFd,
    name: Vec<u8>,
    /// The name that it was made under, if that is not its final one.
    staged: Option<String>,
    /// What it gets once nothing more is made in it.
    due: Due,
    /// Whether it, or a folder above it, is staged.
    private: bool,
    /// Whether what killed commands left in it has been removed.
    swept: bool,
}

/// The open folders.
#[derive(Debug)]
pub(crate) struct Levels {
    levels: Vec<Level>,
    root: OwnedFd,
    /// The one name that is touched in the root; any, where there is none.
    only: Option<Vec<u8>>,
    keep: Keep,
    /// Mode of a folder that no member tells of.
    untold: u32,
    /// Whether what killed commands left in the root has been removed.
    swept: bool,
    fresh: FreshNames,
}

impl Levels {
    /// Below `root`, and there below `only`, if that is a name. The system's `umask` holds for folders, too, unless
    /// modes are kept.
    pub(crate) fn new(root: OwnedFd, only: Option<Vec<u8>>, keep: Keep, umask: u32) -> Self {
        Self {
            levels: Vec::new(),
            root,
            only,
            keep,
            untold: if keep.modes { UNTOLD } else { UNTOLD & !umask },
            swept: false,
            fresh: FreshNames::new(),
        }
    }

    /// A name that nothing else has in the folder at hand.
    pub(crate) fn fresh(&mut self) -> String {
        let swept = self
            .levels
            .last_mut()
            .map_or(&mut self.swept, |level| &mut level.swept);
        if !std::mem::replace(swept, true) {
            leftover::sweep(self.folder(), FreshNames::is_one);
        }
        self.fresh.next()
    }

    /// Makes and opens something under a name that nothing else has in the folder at hand; it is locked while it is
    /// open, so that nobody takes it for left over.
    pub(crate) fn stage(
        &mut self,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<OwnedFd, Errno>,
    ) -> Result<(OwnedFd, String), Errno> {
        for _ in 0..ATTEMPTS {
            let name = self.fresh();
            let made = make(self.folder(), name.as_bytes())?;
            if leftover::hold(&made, self.folder(), name.as_bytes()) {
                return Ok((made, name));
            }
        }
        Err(Errno::AGAIN)
    }

    /// The folder at hand.
    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.levels
            .last()
            .map_or(self.root.as_fd(), |level| level.folder.as_fd())
    }

    /// Refuses what is no name of an entry in the folder at hand, or not the one that all lies below.
    pub(crate) fn hold(&self, name: &[u8]) -> Result<(), ArchiveError> {
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
            return Err(ArchiveError::refused(name, "is no name"));
        }
        match &self.only {
            Some(only) if self.levels.is_empty() && only != name => Err(ArchiveError::another(name, only)),
            _ => Ok(()),
        }
    }

    /// Names of the folders, for messages.
    pub(crate) fn path(&self) -> String {
        let names: Vec<_> = self
            .levels
            .iter()
            .map(|level| String::from_utf8_lossy(&level.name))
            .collect();
        names.join("/")
    }

    /// Whether nobody else can come across what is made in the folder at hand.
    pub(crate) fn is_private(&self) -> bool {
        self.levels.last().is_some_and(|level| level.private)
    }

    /// Goes to the folder of these names; makes what is missing of it.
    pub(crate) fn go(&mut self, names: &[&[u8]]) -> Result<(), ArchiveError> {
        let common = self.common(names);
        self.leave(common)?;
        for name in &names[common..] {
            self.enter(name, None)?;
        }
        Ok(())
    }

    /// Makes the folder of these names, which may be there.
    pub(crate) fn make(&mut self, names: &[&[u8]], attributes: Attributes) -> Result<(), ArchiveError> {
        let common = self.common(names);
        if common == names.len() {
            return self.leave(common);
        }
        let (name, above) = names.split_last().expect("it has more names than are common");
        self.go(above)?;
        self.enter(name, Some(attributes))
    }

    fn common(&self, names: &[&[u8]]) -> usize {
        self.levels
            .iter()
            .zip(names)
            .take_while(|(level, name)| level.name == **name)
            .count()
    }

    /// Opens a folder in the one at hand, or makes it.
    fn enter(&mut self, name: &[u8], attributes: Option<Attributes>) -> Result<(), ArchiveError> {
        let fail = |action| ArchiveError::file(action, name);
        self.hold(name)?;
        let private = self.is_private();
        if !private {
            match beneath(self.folder(), name, LOOKED_AT, Mode::empty()) {
                Ok(folder) => {
                    self.push(folder, name, None, Due::Nothing, false);
                    return Ok(());
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(not_opened(name, errno)),
            }
        }
        let (folder, staged) = if private {
            match mkdirat(self.folder(), name, WHILE_OPEN) {
                // The stream tells of it twice.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(fail("make the folder")(errno)),
            }
            let opened = beneath(self.folder(), name, FOLDER, Mode::empty());
            (opened.map_err(|errno| not_opened(name, errno))?, None)
        } else {
            let made = self.stage(|folder, name| {
                mkdirat(folder, name, WHILE_OPEN)?;
                beneath(folder, name, FOLDER, Mode::empty())
            });
            let (folder, staged) = made.map_err(fail("make the folder"))?;
            (folder, Some(staged))
        };
        self.push(
            folder,
            name,
            staged,
            attributes.map_or(Due::Mode, Due::Attributes),
            true,
        );
        Ok(())
    }

    fn push(&mut self, folder: OwnedFd, name: &[u8], staged: Option<String>, due: Due, private: bool) {
        self.levels.push(Level {
            folder,
            name: name.to_vec(),
            staged,
            due,
            private,
            // Nobody else makes anything in a folder that is staged.
            swept: private,
        });
    }

    /// Leaves all folders but the first `keep`: each gets its attributes and its name.
    pub(crate) fn leave(&mut self, keep: usize) -> Result<(), ArchiveError> {
        while self.levels.len() > keep {
            let Some(level) = self.levels.last() else { break };
            match &level.due {
                Due::Nothing => {}
                Due::Mode => fchmod(&level.folder, Mode::from_raw_mode(self.untold))
                    .map_err(ArchiveError::file("change the mode of", &level.name))?,
                Due::Attributes(attributes) => attributes
                    .apply(level.folder.as_fd(), self.keep.owners, None)
                    .map_err(|(action, errno)| ArchiveError::file(action, &level.name)(errno))?,
            }
            let above = self
                .levels
                .iter()
                .nth_back(1)
                .map_or(self.root.as_fd(), |level| level.folder.as_fd());
            if let Some(staged) = &level.staged {
                renameat(above, staged.as_str(), above, level.name.as_slice())
                    .map_err(ArchiveError::file("make the folder", &level.name))?;
            }
            self.levels.pop();
        }
        Ok(())
    }

    /// Opens the folder of these names for a look, without making or leaving one.
    pub(crate) fn look(&self, names: &[&[u8]]) -> Result<OwnedFd, Errno> {
        let common = self.common(names);
        let mut folder = match common {
            0 => rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?,
            depth => rustix::io::fcntl_dupfd_cloexec(&self.levels[depth - 1].folder, 0)?,
        };
        for name in &names[common..] {
            folder = beneath(folder.as_fd(), name, LOOKED_AT, Mode::empty())?;
        }
        Ok(folder)
    }
}

impl Drop for Levels {
    /// Takes away what has no final name yet.
    fn drop(&mut self) {
        while let Some(level) = self.levels.pop() {
            let above = self
                .levels
                .last()
                .map_or(self.root.as_fd(), |level| level.folder.as_fd());
            if let Some(staged) = &level.staged {
                leftover::remove(above, staged.as_bytes());
            }
        }
    }
}

/// A folder that is to be one; a link counts as something else, wherever it leads.
fn not_opened(name: &[u8], errno: Errno) -> ArchiveError {
    match errno {
        Errno::LOOP | Errno::NOTDIR => ArchiveError::refused(name, "is there and is not a folder"),
        errno => ArchiveError::file("open", name)(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn levels(folder: &std::path::Path, only: Option<&str>) -> Levels {
        let root = rustix::fs::open(folder, LOOKED_AT, Mode::empty()).unwrap();
        Levels::new(
            root,
            only.map(|only| only.as_bytes().to_vec()),
            Keep::default(),
            0o022,
        )
    }

    /// Whatever the code above it overlooked.
    #[test]
    fn nothing_but_the_one_name_is_touched_in_the_root_and_nothing_that_is_no_name_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("tree")).unwrap();
        fs::create_dir(root.join("other")).unwrap();
        let mut levels = levels(&root, Some("tree"));
        for names in [
            &[&b"other"[..]][..],
            &[b"other", b"below"],
            &[b".."],
            &[b"tree/../other"],
            &[b""],
            &[b"tree", b".."],
            &[b"tree", b"../other"],
        ] {
            assert!(levels.go(names).is_err(), "{names:?}");
            assert!(levels.make(names, Attributes::default()).is_err(), "{names:?}");
        }
        levels.go(&[b"tree", b"tree", b"other"]).unwrap();
        for name in [&b"."[..], b"..", b"a/b", b"/", b""] {
            assert!(levels.hold(name).is_err());
        }
        levels.hold(b"other").unwrap();
        levels.leave(0).unwrap();
        assert!(levels.hold(b"other").is_err());
        levels.hold(b"tree").unwrap();
        assert!(root.join("tree/tree/other").is_dir());
        assert_eq!(fs::read_dir(root.join("other")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn names_that_were_not_taken_apart_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        let opened = rustix::fs::open(&root, LOOKED_AT, Mode::empty()).unwrap();
        let create = OFlags::WRONLY | OFlags::CREATE;
        for name in [&b"../new"[..], b"up/new", b"/tmp/banger-new", b"..", b"./new"] {
            assert!(
                beneath(opened.as_fd(), name, create, Mode::RWXU).is_err(),
                "{name:?}"
            );
        }
        assert!(beneath(opened.as_fd(), b"up", LOOKED_AT, Mode::empty()).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        beneath(opened.as_fd(), b"new", create, Mode::RWXU).unwrap();
    }
}
