//! Letting the writable layer's file system grow into a disk that has become larger.
#![expect(unsafe_code, reason = "ext4's ioctl takes a pointer")]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;

/// What the kernel counts a disk's size in.
const SECTOR: u64 = 512;

mod ioctls {
    // `EXT4_IOC_RESIZE_FS` of the kernel's `fs/ext4/ext4.h`; takes the new number of blocks.
    nix::ioctl_write_ptr!(resize, b'f', 16, u64);
}

/// Makes the ext4 that is mounted at `folder` fill its disk, and gives the disk's size in bytes. One that fills it
/// already stays as it is.
///
/// # Errors
/// What the system says.
pub(crate) fn grow(folder: &str) -> io::Result<u64> {
    let folder = File::open(folder)?;
    let device = rustix::fs::fstat(&folder)?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let sectors = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/size"))?;
    let sectors: u64 = sectors.trim().parse().map_err(io::Error::other)?;
    let size = sectors.saturating_mul(SECTOR);
    let block = rustix::fs::fstatvfs(&folder)?.f_bsize.max(1);
    let blocks = size / block;
    // SAFETY: the number is read, by an open file's ioctl; a file system that is no ext4 refuses it.
    unsafe { ioctls::resize(folder.as_raw_fd(), &raw const blocks) }?;
    Ok(size)
}
