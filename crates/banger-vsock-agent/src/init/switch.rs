//! From the initramfs into the new root.

use std::io;

use rustix::fs::{Mode, OFlags};
use rustix::mount::mount_move;

use super::InitError;
use super::root::{NEW_ROOT, carry_over};
use super::tree::{Tree, delete_content};

/// What `statfs` says of an initramfs: the two file systems that the kernel unpacks one into.
const RAMFS: i64 = 0x8584_58f6;
const TMPFS: i64 = 0x0102_1994;

/// Moves dev, sys and proc along, frees the initramfs and makes the overlay `/`.
pub(super) fn enter_new_root() -> Result<(), InitError> {
    let failed = |step| move |source: io::Error| InitError::Switch { step, source };
    let tree = Tree::open(NEW_ROOT).map_err(failed("open"))?;
    // proc last: the places to move to are named through it.
    for path in [c"/dev", c"/sys", c"/proc"] {
        carry_over(&tree, path)?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let initramfs = rustix::fs::open("/", flags, Mode::empty())
        .map_err(|error| failed("open the initramfs")(error.into()))?;
    rustix::process::chdir(NEW_ROOT).map_err(|error| failed("chdir")(error.into()))?;
    let kind = rustix::fs::fstatfs(&initramfs).map_err(|error| failed("statfs")(error.into()))?;
    // Whatever else is mounted there is somebody's disk.
    if matches!(kind.f_type, RAMFS | TMPFS) {
        delete_content(&initramfs).map_err(failed("free the initramfs"))?;
    }
    mount_move(".", "/").map_err(|error| failed("move")(error.into()))?;
    rustix::process::chroot(".").map_err(|error| failed("chroot")(error.into()))?;
    rustix::process::chdir("/").map_err(|error| failed("chdir")(error.into()))
}
