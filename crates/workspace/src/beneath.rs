//! Files of a repository, which may come from anywhere: read below a folder that is open, over no link, as far as they
//! are files and no larger than they may be.
//!
//! Everything that this crate itself reads of a repository's `.git` goes through here.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use crate::breaking;
use crate::error::WorkspaceError;

/// Not out of the folder, not over a link, not through `/proc`.
const WITHIN: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Most entries of a tree of folders that is looked through.
const MOST_ENTRIES: usize = 20_000_000;

/// Path and target.
pub(crate) type Link = (Vec<u8>, Vec<u8>);

/// A folder that is open, and its path for messages.
#[derive(Debug)]
pub(crate) struct Folder {
    opened: OwnedFd,
    pub(crate) path: PathBuf,
}

impl Folder {
    /// Opens one by a path that was made canonical.
    pub(crate) fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = open(path, flags, Mode::empty())
            .map_err(|errno| WorkspaceError::host("open", path.display().to_string())(errno.into()))?;
        Ok(Self {
            opened,
            path: path.to_owned(),
        })
    }

    /// What is known of the folder itself.
    pub(crate) fn itself(&self) -> Result<Stat, WorkspaceError> {
        fstat(&self.opened).map_err(|errno| self.cannot(Path::new(""), errno))
    }

    /// What is at a path in it; nothing if there is nothing.
    pub(crate) fn stat(&self, name: &Path) -> Result<Option<Stat>, WorkspaceError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat2(&self.opened, name, flags, Mode::empty(), WITHIN) {
            Ok(found) => fstat(&found).map(Some).map_err(|errno| self.cannot(name, errno)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(self.cannot(name, errno)),
        }
    }

    /// Reads a file; nothing if there is none.
    pub(crate) fn read(&self, name: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let name = name.as_ref();
        // Neither waits for the other end of a pipe nor wakes a device.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat2(&self.opened, name, flags, Mode::empty(), WITHIN) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            // A pipe without a writer cannot be opened to write, a socket not at all.
            Err(Errno::NXIO) => return Err(self.no_file(name, NO_FILE)),
            Err(errno) => return Err(self.cannot(name, errno)),
        };
        let cannot = |source| WorkspaceError::host("read", self.shown(name))(source);
        if !file.metadata().map_err(cannot)?.is_file() {
            return Err(self.no_file(name, NO_FILE));
        }
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(cannot)?;
        if bytes.len() as u64 > limit {
            let why = format!("is larger than {} KiB", limit >> 10);
            return Err(self.no_file(name, &why));
        }
        Ok(Some(bytes))
    }

    /// Makes sure that what is at a path is a file, or nothing. Whether there is one.
    pub(crate) fn check_file(&self, name: &Path) -> Result<bool, WorkspaceError> {
        match self.stat(name)? {
            None => Ok(false),
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(true),
            Some(_) => Err(self.no_file(name, NO_FILE)),
        }
    }

    /// Makes sure that a folder, if there is one, holds folders and files alone, all the way down: no link that leads
    /// elsewhere, no pipe or device that whoever opens it waits for. Whether there is one.
    pub(crate) fn check_tree(&self, name: &Path) -> Result<bool, WorkspaceError> {
        match self.stat(name)? {
            None => return Ok(false),
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Some(_) => return Err(self.no_file(name, "is a link, or no folder")),
        }
        let mut folders = vec![name.to_owned()];
        let mut left = MOST_ENTRIES;
        while let Some(folder) = folders.pop() {
            self.each(&folder, &mut |entry, kind| {
                let path = folder.join(entry);
                left = left
                    .checked_sub(1)
                    .ok_or_else(|| self.no_file(name, "holds more files than any repository has"))?;
                match kind {
                    FileType::Directory => folders.push(path),
                    FileType::RegularFile => {}
                    _ => return Err(self.no_file(&path, NO_FILE)),
                }
                Ok(())
            })?;
        }
        Ok(true)
    }

    /// Makes sure that no pipe or device lies anywhere below it: a program that opens one may wait for ever. What cannot be
    /// looked into is passed over, as git does.
    pub(crate) fn check_for_pipes(&self) -> Result<(), WorkspaceError> {
        let mut folders = vec![PathBuf::new()];
        let mut left = MOST_ENTRIES;
        while let Some(folder) = folders.pop() {
            let mut found = None;
            let at = or_itself(&folder);
            let looked = self.each(at, &mut |name, kind| {
                left = left.saturating_sub(1);
                match kind {
                    FileType::Directory if left > 0 => folders.push(folder.join(name)),
                    FileType::Fifo | FileType::CharacterDevice => found = Some(folder.join(name)),
                    _ => {}
                }
                Ok(())
            });
            breaking::check()?;
            if let (Ok(()), Some(path)) = (looked, found) {
                return Err(self.no_file(&path, "is a pipe or a device, and git waits for one"));
            }
        }
        Ok(())
    }

    /// All links below it, each with its target, but for those in `.git`, and whether these are all: paths and targets take
    /// `most` bytes. What cannot be looked into has none: nothing can be put there either.
    pub(crate) fn links(&self, most: usize) -> Result<(Vec<Link>, bool), WorkspaceError> {
        let mut found = Vec::new();
        let mut room = most;
        let mut folders = vec![PathBuf::new()];
        let mut left = MOST_ENTRIES;
        while let Some(folder) = folders.pop() {
            let at = or_itself(&folder);
            let mut links = Vec::new();
            let mut room_for_names = room;
            let looked = self.each(at, &mut |name, kind| {
                left = left
                    .checked_sub(1)
                    .ok_or_else(|| self.no_file(at, "holds more files than can be looked through"))?;
                match kind {
                    FileType::Directory if name != ".git" => folders.push(folder.join(name)),
                    FileType::Symlink => {
                        room_for_names = room_for_names.saturating_sub(size_of::<Link>() + name.len());
                        if room_for_names > 0 {
                            links.push(name.to_owned());
                        }
                    }
                    _ => {}
                }
                Ok(())
            });
            // What cannot be read is passed over; only the bound is an error, and being asked to end.
            if left == 0 {
                looked?;
            }
            breaking::check()?;
            if room_for_names == 0 {
                return Ok((found, false));
            }
            if links.is_empty() {
                continue;
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let Ok(opened) = openat2(&self.opened, at, flags, Mode::empty(), WITHIN) else {
                continue;
            };
            for name in links {
                breaking::check()?;
                if let Ok(target) = readlinkat(&opened, &name, Vec::new()) {
                    let link = folder.join(name).into_os_string().into_vec();
                    let (mut link, mut target) = (link, target.into_bytes());
                    let Some(rest) = room.checked_sub(size_of::<Link>() + link.len() + target.len()) else {
                        return Ok((found, false));
                    };
                    room = rest;
                    link.shrink_to_fit();
                    target.shrink_to_fit();
                    found.push((link, target));
                }
            }
        }
        Ok((found, true))
    }

    /// The names in a folder, of what is there.
    pub(crate) fn names(&self, folder: &Path) -> Result<Vec<Vec<u8>>, WorkspaceError> {
        let mut names = Vec::new();
        if self.stat(folder)?.is_some() {
            self.each(folder, &mut |name, _| {
                names.push(name.as_bytes().to_vec());
                Ok(())
            })?;
        }
        Ok(names)
    }

    fn each(
        &self,
        folder: &Path,
        take: &mut dyn FnMut(&OsStr, FileType) -> Result<(), WorkspaceError>,
    ) -> Result<(), WorkspaceError> {
        let cannot = |errno| self.cannot(folder, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat2(&self.opened, folder, flags, Mode::empty(), WITHIN).map_err(cannot)?;
        for entry in Dir::read_from(&opened).map_err(cannot)? {
            breaking::check()?;
            let entry = entry.map_err(cannot)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    // It went meanwhile.
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(cannot(errno)),
                },
                kind => kind,
            };
            take(OsStr::from_bytes(name.to_bytes()), kind)?;
        }
        Ok(())
    }

    fn cannot(&self, name: &Path, errno: Errno) -> WorkspaceError {
        match errno {
            Errno::LOOP | Errno::XDEV => self.no_file(name, "is a link, or behind one"),
            errno => WorkspaceError::host("read", self.shown(name))(errno.into()),
        }
    }

    pub(crate) fn no_file(&self, name: &Path, why: &str) -> WorkspaceError {
        WorkspaceError::NoFile {
            path: self.path.join(name),
            why: why.to_owned(),
        }
    }

    fn shown(&self, name: &Path) -> String {
        self.path.join(name).display().to_string()
    }
}

/// A path below a folder, which may be the folder itself.
fn or_itself(path: &Path) -> &Path {
    match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    }
}

const NO_FILE: &str = "is a link, or no file";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_below_the_folder_are_read_over_no_link_and_within_bounds() {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("top");
        fs::create_dir_all(top.join("below")).unwrap();
        fs::write(place.path().join("secret"), "secret").unwrap();
        fs::write(top.join("below/file"), "text").unwrap();
        symlink("../secret", top.join("out")).unwrap();
        symlink("below/file", top.join("in")).unwrap();
        symlink("below", top.join("folder")).unwrap();
        symlink("/dev/zero", top.join("endless")).unwrap();
        testkit::make_fifo(top.join("pipe"));
        let folder = Folder::open(&top).unwrap();
        assert_eq!(folder.read("below/file", 4).unwrap().unwrap(), b"text");
        assert_eq!(folder.read("none", 4).unwrap(), None);
        assert_eq!(folder.read("below/file/none", 4).unwrap(), None);
        for bad in [
            "out",
            "in",
            "folder/file",
            "endless",
            "pipe",
            "below",
            "../secret",
            "/etc/passwd",
        ] {
            let refused = folder.read(bad, 1 << 20).unwrap_err();
            assert!(
                matches!(refused, WorkspaceError::NoFile { .. }),
                "{bad}: {refused}"
            );
        }
        let refused = folder.read("below/file", 3).unwrap_err();
        assert!(refused.to_string().ends_with("is larger than 0 KiB"), "{refused}");
    }

    #[test]
    fn a_tree_with_a_link_or_a_pipe_anywhere_is_refused_by_its_name() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        assert!(!folder.check_tree(Path::new("refs")).unwrap());
        fs::create_dir_all(place.path().join("refs/heads/a/b")).unwrap();
        fs::write(place.path().join("refs/heads/a/b/c"), "").unwrap();
        assert!(folder.check_tree(Path::new("refs")).unwrap());
        symlink("c", place.path().join("refs/heads/a/b/link")).unwrap();
        let refused = folder.check_tree(Path::new("refs")).unwrap_err().to_string();
        assert!(refused.contains("refs/heads/a/b/link` is a link"), "{refused}");
        fs::remove_file(place.path().join("refs/heads/a/b/link")).unwrap();
        fs::rename(place.path().join("refs"), place.path().join("elsewhere")).unwrap();
        symlink("elsewhere", place.path().join("refs")).unwrap();
        assert!(folder.check_tree(Path::new("refs")).is_err());
    }

    #[test]
    fn links_are_kept_as_far_as_there_is_room_for_them() {
        let place = tempfile::tempdir().unwrap();
        let target = "x/".repeat(1000);
        fs::create_dir(place.path().join("below")).unwrap();
        for number in 0..10 {
            symlink(&target, place.path().join(format!("below/{number}"))).unwrap();
        }
        let folder = Folder::open(place.path()).unwrap();
        let (links, all) = folder.links(1 << 20).unwrap();
        assert_eq!((links.len(), all), (10, true));
        let (links, all) = folder.links(5 * (target.len() + 100)).unwrap();
        assert_eq!((links.len(), all), (5, false));
        // Names alone that are too many are not gathered either.
        let (links, all) = folder.links(300).unwrap();
        assert_eq!((links.len(), all), (0, false));
    }
}
