//! Firecracker's own jailer: a root, a user and limits for each VM, set up by root and given up before it runs.
//!
//! ```text
//!  <base>/firecracker/<id>/root/    firecracker, dev/, firecracker.pid    the jailer's
//!                                   kernel, initramfs, drive0, …          links to what the machine is made of
//!                                   run/                                  the machine's own
//!  <folder>/firecracker             a link to that root
//! ```

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use process::{Confinement, Launch};
use rustix::fs::OFlags;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::geteuid;

use super::control_groups::ControlGroups;
use super::world::{RUN, WORLD};
use crate::limits::limit_jailer;
use crate::{Folder, MachineSpec, VmmError};

/// What the root of a jail is called.
const ROOT: &str = "root";
/// Files that it may have open: its drives and sockets, and a descriptor for each connection to the guest.
const OPEN_FILES: u32 = 4096;

/// The jailer, and where the jails are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jailer {
    binary: PathBuf,
    base: PathBuf,
}

/// The jail of one machine.
#[derive(Debug)]
pub(super) struct Jail {
    /// What Firecracker takes for `/`.
    root: PathBuf,
    id: u32,
}

impl Jailer {
    /// One that executes `binary` and makes jails below `base`.
    pub fn new(binary: impl Into<PathBuf>, base: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            base: base.into(),
        }
    }

    /// Makes the jail of a machine anew, with all its parts in it.
    pub(super) fn make(
        &self,
        firecracker: &Path,
        name: &str,
        parts: &[(String, PathBuf, bool)],
        folder: &Folder,
    ) -> Result<Jail, VmmError> {
        let program = firecracker.file_name().unwrap_or_default();
        let jail = Jail {
            root: self.base.join(program).join(name).join(ROOT),
            id: Confinement::id(folder.number()?),
        };
        remove(folder)?;
        // One that a crash left before the link to it was there.
        clear(&jail.root)?;
        let make = |path: &Path| fs::create_dir_all(path).map_err(failed("make", path));
        make(&jail.root)?;
        let link = folder.path().join(WORLD);
        symlink(&jail.root, &link).map_err(failed("make", &link))?;
        let run = jail.root.join(RUN);
        make(&run)?;
        fs::set_permissions(&run, Permissions::from_mode(0o700)).map_err(failed("protect", &run))?;
        jail.give(RUN)?;
        for (name, path, read_only) in parts {
            let place = jail.root.join(name);
            share(path, &place).map_err(failed("share", path))?;
            if *read_only {
                let_read(path).map_err(failed("share", path))?;
            } else {
                jail.give(name)?;
            }
        }
        Ok(jail)
    }

    /// The jailer's launch; what follows `--` is Firecracker's.
    pub(super) fn launch(
        &self,
        jail: &Jail,
        firecracker: &Path,
        name: &str,
        spec: &MachineSpec,
        record: PathBuf,
    ) -> Launch {
        let id = jail.id.to_string();
        let mut launch = Launch::new(&self.binary, &jail.root, record);
        launch
            .alone()
            .arguments(["--id", name, "--uid", &id, "--gid", &id])
            .arguments(["--exec-file".as_ref(), firecracker.as_os_str()])
            .arguments(["--chroot-base-dir".as_ref(), self.base.as_os_str()])
            .arguments(["--resource-limit".to_owned(), format!("no-file={OPEN_FILES}")])
            .arguments(ControlGroups::of_host().arguments(name, spec))
            .argument("--");
        limit_jailer(&mut launch, spec);
        launch
    }
}

impl Jail {
    /// Who the jailed one is.
    pub(super) fn user(&self) -> u32 {
        self.id
    }

    /// Makes what has that name in the jail the jailed one's. Before it runs: after that, a name may be anything.
    pub(super) fn give(&self, name: &str) -> Result<(), VmmError> {
        let path = self.root.join(name);
        lchown(&path, Some(self.id), Some(self.id)).map_err(failed("give away", &path))
    }
}

/// Puts a file into a jail: as another name of it or, from another file system, mounted over an empty one.
fn share(path: &Path, place: &Path) -> io::Result<()> {
    let path = path.canonicalize()?;
    match fs::hard_link(&path, place) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            File::create_new(place)?;
            Ok(mount_bind(&path, place)?)
        }
        outcome => outcome,
    }
}

/// Lets everyone read a file whose folders are closed to them: the jailed one has no other way to what VMs share.
fn let_read(path: &Path) -> io::Result<()> {
    let mode = path.metadata()?.permissions().mode();
    if mode & 0o004 != 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode | 0o444))
}

/// Whether the machine in this folder is in a jail on a host that counts what jails take.
pub(crate) fn has_control_groups(folder: &Path) -> bool {
    folder.join(WORLD).is_symlink() && ControlGroups::of_host() != ControlGroups::None
}

/// Removes the jail that a VM's folder leads to, after its process has ended. Fine if there is none.
pub(super) fn remove(folder: &Folder) -> Result<(), VmmError> {
    if let Ok(root) = folder.path().join(WORLD).read_link() {
        clear(&root)?;
    }
    folder.remove_all(WORLD)
}

/// Removes a jail with all that it was given: mounts, drives, its control group.
fn clear(root: &Path) -> Result<(), VmmError> {
    let Some(jail) = root.parent().filter(|_| root.ends_with(ROOT)) else {
        return Ok(());
    };
    // First: what is gone after the tree nothing leads to any more.
    if let Some(name) = jail.file_name().and_then(OsStr::to_str) {
        ControlGroups::of_host().remove(name);
    }
    let parts = match fs::read_dir(root) {
        Ok(parts) => parts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", root)(error)),
    };
    for part in parts {
        let path = part.map_err(failed("read", root))?.path();
        take_back(&path).map_err(failed("take back", &path))?;
    }
    fs::remove_dir_all(jail).map_err(failed("remove", jail))
}

/// Makes a drive this user's again, and unmounts it.
fn take_back(path: &Path) -> io::Result<()> {
    if !path.symlink_metadata()?.is_file() {
        return Ok(());
    }
    let nofollow = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, nofollow, rustix::fs::Mode::empty())?;
    let (user, group) = (geteuid(), rustix::process::getegid());
    let file = File::from(file);
    if file.metadata()?.uid() != user.as_raw() {
        rustix::fs::fchown(&file, Some(user), Some(group))?;
    }
    drop(file);
    match unmount(path, UnmountFlags::DETACH) {
        // It is none.
        Err(rustix::io::Errno::INVAL) => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> VmmError {
    let path = path.to_owned();
    move |source| VmmError::File {
        action,
        path: path.clone(),
        source,
    }
}
