//! A link at the path that a user names as a copy's target: the file that it leads to is replaced, where that lies, and
//! the link stays.
//!
//! The kernel follows it, with all that it forbids; the file is then found again by its real path, since what is copied
//! gets its name by renaming.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, OFlags, Stat, fstat, readlinkat, statat};
use rustix::process::geteuid;

use crate::error::ArchiveError;
use crate::system;

/// A link, and what owns the folder that it lies in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    owner: u32,
    owner_of_folder: Option<u32>,
}

/// The link that lies at a path, if one does.
pub(crate) fn at(path: &Path) -> Option<Link> {
    // Without slashes at its end, which would have it followed.
    let (name, parent) = (path.file_name()?, path.parent()?);
    let link = statat(CWD, parent.join(name), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if FileType::from_raw_mode(link.st_mode) != FileType::Symlink {
        return None;
    }
    let parent = if parent == Path::new("") {
        Path::new(".")
    } else {
        parent
    };
    let folder = statat(CWD, parent, AtFlags::empty()).ok();
    Some(Link {
        owner: link.st_uid,
        owner_of_folder: folder.map(|folder| folder.st_uid),
    })
}

impl Link {
    /// The folder of the file that the link at `path` leads to, its path, and the name there; `found` is what was opened
    /// at the path.
    ///
    /// # Errors
    /// It leads to nothing, or is another user's.
    pub(crate) fn follow(
        self,
        path: &[u8],
        found: Option<(OwnedFd, bool)>,
    ) -> Result<(OwnedFd, Vec<u8>, Vec<u8>), ArchiveError> {
        let Some((file, _)) = found else {
            return Err(ArchiveError::refused(path, "is a link that leads to nothing"));
        };
        if !self.is_trusted(geteuid().as_raw()) {
            return Err(ArchiveError::refused(path, "is a link of another user's"));
        }
        let lost = || ArchiveError::refused(path, "is a link to a file that cannot be found by its path");
        let fail = |errno| ArchiveError::file("write to", path)(errno);
        let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        let real = readlinkat(CWD, descriptor, Vec::new()).map_err(fail)?;
        let real = PathBuf::from(OsStr::from_bytes(real.as_bytes()));
        let (Some(name), Some(parent), true) = (real.file_name(), real.parent(), real.is_absolute()) else {
            return Err(lost());
        };
        let folder = system::open(parent, OFlags::PATH | OFlags::DIRECTORY).map_err(fail)?;
        let there = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| lost())?;
        let same = |a: &Stat, b: &Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        if !same(&there, &fstat(&file).map_err(fail)?) {
            return Err(lost());
        }
        Ok((
            folder,
            parent.as_os_str().as_bytes().to_vec(),
            name.as_bytes().to_vec(),
        ))
    }

    /// Whether it is as good as the user's own word: made by the user, by root, or by the owner of the folder. Others can
    /// put links where anybody may write. Kernels can be set up to follow those as well (`fs.protected_symlinks`).
    fn is_trusted(self, user: u32) -> bool {
        self.owner == user || self.owner == 0 || Some(self.owner) == self.owner_of_folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_others_may_have_put_there_is_not_followed() {
        for (owner, owner_of_folder, trusted) in [
            (1000, Some(1000), true),
            (1000, Some(0), true),
            (0, Some(1001), true),
            (1001, Some(1001), true),
            (1001, Some(0), false),
            (1001, Some(1000), false),
            (1001, None, false),
        ] {
            let link = Link {
                owner,
                owner_of_folder,
            };
            assert_eq!(link.is_trusted(1000), trusted, "{link:?}");
        }
    }
}
