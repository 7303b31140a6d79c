//! The new root: image and layer as one overlay, and what is mounted into it.
//!
//! ```text
//!  image  (EROFS, read-only) ─┐
//!  layer  (ext4) /upper,/work ┴─ overlay on /root ─┬─ /var/lib/docker …   bound from the layer
//!         itself on /run/banger/layer  ◄───────────┤
//!  modules (EROFS, read-only) ─────────────────────┼─ /lib/modules/<release>
//!  tmpfs ──────────────────────────────────────────┴─ /run
//! ```

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_move, unmount};

use super::agent::log;
use super::early::make_folder;
use super::parameters::{Device, Parameters};
use super::tree::{Tree, is_empty, path_of};
use super::{InitError, disks};

/// Where the new root is put together.
pub(super) const NEW_ROOT: &str = "/root";

/// Where the running machine finds the layer's ext4, to let it grow. For root only.
pub const LAYER: &str = "/run/banger/layer";

const IMAGE_MOUNT: &str = "/image";
const LAYER_MOUNT: &str = "/layer";

/// `redirect_dir`: a folder of the image can be renamed. `xino`: a file keeps its inode and device numbers when it
/// is first written to, and shares the device with its folder, as `find -xdev`, `tar` and `git` expect.
const OVERLAY: &CStr = c"lowerdir=/image,upperdir=/layer/upper,workdir=/layer/work,redirect_dir=on,metacopy=off,index=off,xino=on";

/// A fresh layer's inode tables are holes, which read as zeros: writing them would only fill the host's disk. And what
/// is deleted is told to the host, whose file shrinks.
const LAYER_OPTIONS: &CStr = c"noinit_itable,discard";

/// Folders of container engines: they keep overlays of their own, which cannot lie on ours.
const BINDS: [(&str, &str); 3] = [
    ("docker", "var/lib/docker"),
    ("containerd", "var/lib/containerd"),
    ("containers", "var/lib/containers"),
];

/// Mounts all of it at [`NEW_ROOT`].
pub(super) fn assemble(parameters: &Parameters) -> Result<(), InitError> {
    for folder in [IMAGE_MOUNT, LAYER_MOUNT, NEW_ROOT] {
        make_folder(folder)?;
    }
    mount_image(&parameters.image)?;
    mount_layer(&parameters.layer)?;
    mount(
        c"overlay",
        NEW_ROOT,
        c"overlay",
        MountFlags::empty(),
        Some(OVERLAY),
    )
    .map_err(|error| cannot_mount("the overlay of image and layer".to_owned(), error))?;
    // The overlay has its own hold on it, and nothing else needs the bare image.
    unmount(IMAGE_MOUNT, UnmountFlags::DETACH)
        .map_err(|error| cannot_mount("the image away".to_owned(), error))?;
    let tree = Tree::open(NEW_ROOT).map_err(|source| InitError::File {
        action: "open",
        path: NEW_ROOT.to_owned(),
        source,
    })?;
    for (name, path) in BINDS {
        bind(&tree, name, path)?;
    }
    if let Some(device) = &parameters.modules {
        mount_modules(&tree, device)?;
    }
    mount_run(&tree)
}

/// An image that was promoted from ext4 stays one.
fn mount_image(device: &Device) -> Result<(), InitError> {
    disks::wait("the image", device)?;
    let read_only = |file_system: &CStr| {
        let flags = MountFlags::RDONLY | MountFlags::NOATIME;
        mount(device.path(), IMAGE_MOUNT, file_system, flags, None::<&CStr>)
    };
    match read_only(c"erofs") {
        // No EROFS, or a kernel without it.
        Err(Errno::INVAL | Errno::NODEV) => read_only(c"ext4"),
        result => result,
    }
    .map_err(|error| cannot_mount(format!("the image {} as EROFS or ext4", device.path()), error))
}

fn mount_layer(device: &Device) -> Result<(), InitError> {
    disks::wait("the layer", device)?;
    mount(
        device.path(),
        LAYER_MOUNT,
        c"ext4",
        MountFlags::NOATIME,
        Some(LAYER_OPTIONS),
    )
    .map_err(|error| cannot_mount(format!("the layer {}", device.path()), error))?;
    // Its disk may have been made larger while the machine was off. One that does not grow is still a disk.
    if let Err(error) = crate::layer::grow(LAYER_MOUNT) {
        log(&format!("the layer does not grow into its disk: {error}"));
    }
    // What lies on a layer is seen through the overlay and the binds, with the modes that it has there.
    rustix::fs::chmod(LAYER_MOUNT, Mode::from_raw_mode(0o700)).map_err(|error| InitError::File {
        action: "close",
        path: "the layer to users".to_owned(),
        source: error.into(),
    })?;
    for (folder, mode) in [("upper", 0o755), ("work", 0o700), ("binds", 0o711)] {
        make_layer_folder(folder, mode)?;
    }
    Ok(())
}

fn make_layer_folder(folder: &str, mode: u32) -> Result<String, InitError> {
    let path = format!("{LAYER_MOUNT}/{folder}");
    match rustix::fs::mkdir(&path, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => Ok(path),
        Err(error) => Err(InitError::File {
            action: "make",
            path: format!("{folder} on the layer"),
            source: error.into(),
        }),
    }
}

/// Always, since an engine may be installed later; but never over something that the image brings.
fn bind(tree: &Tree, name: &str, path: &str) -> Result<(), InitError> {
    let folder = match tree.make_folder(path) {
        Ok(folder) => folder,
        // A file or a link to nowhere: the image's own arrangement.
        Err(Errno::NOTDIR | Errno::NOENT | Errno::LOOP) => return Ok(()),
        Err(error) => return Err(cannot_make(path, error)),
    };
    let empty = is_empty(&folder).map_err(|source| InitError::File {
        action: "read",
        path: format!("/{path}"),
        source,
    })?;
    if !empty {
        return Ok(());
    }
    let source = make_layer_folder(&format!("binds/{name}"), 0o711)?;
    mount_bind(&source, path_of(&folder)).map_err(|error| cannot_mount(format!("/{path}"), error))
}

fn mount_modules(tree: &Tree, device: &Device) -> Result<(), InitError> {
    disks::wait("the kernel's modules", device)?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let path = format!("lib/modules/{release}");
    let folder = tree
        .make_folder(&path)
        .map_err(|error| cannot_make(&path, error))?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOATIME;
    mount(device.path(), path_of(&folder), c"erofs", flags, None::<&CStr>)
        .map_err(|error| cannot_mount(format!("the kernel's modules {}", device.path()), error))
}

/// An init that finds `/run` mounted keeps it, and what was put there.
fn mount_run(tree: &Tree) -> Result<(), InitError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let folder = tree
        .make_folder("run")
        .map_err(|error| cannot_make("run", error))?;
    mount(
        c"tmpfs",
        path_of(&folder),
        c"tmpfs",
        flags,
        Some(c"mode=755,size=20%"),
    )
    .map_err(|error| cannot_mount("/run".to_owned(), error))?;
    let layer = tree
        .make_folder(LAYER.trim_start_matches('/'))
        .map_err(|error| cannot_make(LAYER, error))?;
    mount_move(LAYER_MOUNT, path_of(&layer)).map_err(|error| cannot_mount(LAYER.to_owned(), error))
}

/// Moves a mount of the initramfs to the same place in the new root.
pub(super) fn carry_over(tree: &Tree, path: &CStr) -> Result<(), InitError> {
    let name = path.to_string_lossy();
    let target: OwnedFd = tree
        .make_folder(name.trim_start_matches('/'))
        .map_err(|error| cannot_make(&name, error))?;
    mount_move(path, path_of(&target)).map_err(|error| cannot_mount(name.into_owned(), error))
}

fn cannot_mount(what: String, error: Errno) -> InitError {
    InitError::Mount {
        what,
        source: error.into(),
    }
}

fn cannot_make(path: &str, error: Errno) -> InitError {
    InitError::File {
        action: "make",
        path: format!("/{}", path.trim_start_matches('/')),
        source: io::Error::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlays_options_name_the_folders_that_are_mounted() {
        let options = OVERLAY.to_str().unwrap();
        for option in [
            format!("lowerdir={IMAGE_MOUNT}"),
            format!("upperdir={LAYER_MOUNT}/upper"),
            format!("workdir={LAYER_MOUNT}/work"),
        ] {
            assert!(options.split(',').any(|given| given == option), "{option}");
        }
    }
}
