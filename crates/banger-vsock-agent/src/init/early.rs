//! The file systems that everything else needs.

use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount as mount_at};
use rustix::process::{Resource, Rlimit};

use super::InitError;

const NO_DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const PLAIN: MountFlags = NO_DEVICES.union(MountFlags::NOEXEC);

/// Where, which file system, with which flags and options.
const MOUNTS: [(&str, &CStr, MountFlags, &CStr); 5] = [
    ("/proc", c"proc", PLAIN, c""),
    ("/sys", c"sysfs", PLAIN, c""),
    ("/dev", c"devtmpfs", MountFlags::NOSUID, c"mode=755"),
    (
        "/dev/pts",
        c"devpts",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
        c"gid=5,mode=620,ptmxmode=000",
    ),
    ("/dev/shm", c"tmpfs", NO_DEVICES, c"mode=1777"),
];

/// Links that the device file system lacks and shells expect.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Open files a process may ask for; the kernel's own 4096 is too few for servers. systemd takes the same.
const OPEN_FILES: u64 = 512 * 1024;

/// Mounts proc, sys, dev and what belongs below dev.
pub(super) fn mount() -> Result<(), InitError> {
    for (path, file_system, flags, options) in MOUNTS {
        make_folder(path)?;
        match mount_at(file_system, path, file_system, flags, Some(options)) {
            // The kernel has mounted a devtmpfs by itself (CONFIG_DEVTMPFS_MOUNT).
            Ok(()) | Err(Errno::BUSY) => {}
            Err(error) => {
                return Err(InitError::Mount {
                    what: path.to_owned(),
                    source: error.into(),
                });
            }
        }
    }
    for (target, link) in LINKS {
        symlink(target, link).map_err(|source| InitError::File {
            action: "make",
            path: link.to_owned(),
            source,
        })?;
    }
    let limit = Rlimit {
        current: Some(1024),
        maximum: Some(OPEN_FILES),
    };
    // Refused only where the kernel allows no process that many: then its own limit stays.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    Ok(())
}

/// Makes a folder of the initramfs, unless it is there.
pub(super) fn make_folder(path: &str) -> Result<(), InitError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(InitError::File {
            action: "make",
            path: path.to_owned(),
            source: error.into(),
        }),
    }
}

/// Writes a small file of the kernel's.
pub(super) fn write(path: &str, text: &str) -> std::io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
}
