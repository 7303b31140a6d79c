//! `mount_setattr(2)`, which `rustix` lacks.
#![expect(unsafe_code, reason = "there is no safe interface to this system call")]

use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

/// `struct mount_attr`.
#[repr(C)]
struct Change {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Adds `attributes` to a mount that is held open, or to it and all that is mounted below it.
pub(super) fn restrict(mount: &OwnedFd, attributes: MountAttrFlags, all_below: bool) -> Result<(), Errno> {
    let change = Change {
        set: attributes.bits().into(),
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    let below = if all_below { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and the kernel only reads the structure, whose size it is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | below,
            &raw const change,
            size_of::<Change>(),
        )
    };
    if result < 0 {
        // SAFETY: this thread's own number.
        return Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }));
    }
    Ok(())
}
