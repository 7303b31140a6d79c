//! What a file is besides its data: mode, owner, times, extended attributes.

use std::os::fd::BorrowedFd;

use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod, fchown,
    fgetxattr, flistxattr, fsetxattr, futimens, utimensat,
};
use rustix::io::Errno;

/// Most bytes of the names, and of one value, of extended attributes (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LONGEST: usize = 64 << 10;

/// What gives a program rights of root's, as a set-id bit does.
pub(crate) const CAPABILITIES: &[u8] = b"security.capability";

/// Attributes of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits, set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
            xattrs: Vec::new(),
        }
    }

    fn times(&self) -> Timestamps {
        Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: self.modified.0,
                tv_nsec: self.modified.1.into(),
            },
        }
    }

    /// Gives an open file or folder its owner, mode, extended attributes and time. `mode` is what it was made with:
    /// where that is what it is to have, nothing is asked of the system.
    pub(crate) fn apply(
        &self,
        file: BorrowedFd<'_>,
        owner: bool,
        made_with: Option<u32>,
    ) -> Result<(), (&'static str, Errno)> {
        if owner {
            fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
                .map_err(|errno| ("change the owner of", errno))?;
        }
        // A change of owner takes the set-id bits.
        if made_with != Some(self.mode) || (owner && self.mode & 0o6000 != 0) {
            fchmod(file, Mode::from_raw_mode(self.mode)).map_err(|errno| ("change the mode of", errno))?;
        }
        for (name, value) in &self.xattrs {
            match fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
                // A file system without them is no reason to fail.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => {}
                Err(errno) => return Err(("set an extended attribute of", errno)),
            }
        }
        futimens(file, &self.times()).map_err(|errno| ("set the time of", errno))
    }

    /// Likewise for an object that cannot be opened: a link, a device. A link has no mode.
    pub(crate) fn apply_at(&self, folder: BorrowedFd<'_>, name: &[u8], owner: bool) -> Result<(), Errno> {
        if owner {
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        utimensat(folder, name, &self.times(), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// Extended attributes of an open file; none where the file system has none.
pub(crate) fn xattrs(file: BorrowedFd<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = [0; 4096];
    let Ok(length) = flistxattr(file, &mut names) else {
        return Vec::new();
    };
    let names = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let carried = names.filter(|name| is_carried(name));
    carried
        .filter_map(|name| {
            let mut value = vec![0; LONGEST];
            let length = fgetxattr(file, name, &mut value).ok()?;
            value.truncate(length);
            Some((name.to_vec(), value))
        })
        .collect()
}

/// Whether an extended attribute belongs to the file, and not to the system that it lies on (labels, overlays).
pub(crate) fn is_carried(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_") || name == CAPABILITIES
}
