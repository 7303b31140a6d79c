//! Opening the path that a user names, and looking at what lies there.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Opens a path with its links followed, but for those of `/proc` that lead to whatever a process has open.
pub(crate) fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
        // Kernels before 5.6, and sandboxes that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => openat(CWD, path, flags, Mode::empty()),
        outcome => outcome,
    }
}

/// Opens an entry of a folder as a folder; never through a link.
pub(crate) const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens or makes an entry of a folder: never through a link, and never anything that does not lie below the folder.
/// Names are taken apart before they come here; this holds where one was not.
pub(crate) fn beneath(
    folder: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if name.contains(&b'/') || name == b".." {
        return Err(Errno::XDEV);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(folder, name, flags, mode, resolve) {
        Err(Errno::NOSYS | Errno::PERM) => openat(folder, name, flags, mode),
        outcome => outcome,
    }
}
