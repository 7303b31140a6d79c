//! Devices that users of a guest open: `/dev/net/tun` is everybody's, `/dev/kvm` belongs to the group `kvm`. That is what
//! Debian's udev rules say; the kernel makes both for root alone, and an image need not have udev.
//!
//! Where a module makes a device, its node is made before the module is loaded, since the kernel leaves a node that is there
//! as it is. Opening `/dev/net/tun` loads the module; KVM's are loaded by root.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::agent::log;
use crate::exec::group_id;

const TUN: &str = "net/tun";
const KVM: &str = "kvm";
/// The group that may use KVM.
const KVM_GROUP: &str = "kvm";
/// `MISC_MAJOR` of the kernel's `major.h`.
const MISC: u32 = 10;

/// A device, by its path below `/dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Device {
    path: &'static str,
    /// Of the kernel's `miscdevice.h`.
    minor: u32,
    mode: u32,
    /// None: root's.
    group: Option<u32>,
}

/// Opens the devices to their users, those that are there and those that a module makes later. What fails is worth a line
/// in the log, not a machine.
pub(super) fn open_to_users() {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let modules = Path::new("/lib/modules").join(release).join("modules.devname");
    let modules = fs::read_to_string(modules).unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    for device in devices(Path::new("/")) {
        if let Err(error) = open(&device, may_come(device.path, &modules, &processors)) {
            log(&format!("cannot open /dev/{} to users: {error}", device.path));
        }
    }
}

/// A line of `tmpfiles.d(5)` for each device: systemd makes the nodes of modules anew, for root alone.
pub(super) fn keep_open(root: &Path, folder: &Path) -> io::Result<()> {
    // The image's udev says the same.
    if root
        .join("usr/lib/tmpfiles.d/static-nodes-permissions.conf")
        .exists()
    {
        return Ok(());
    }
    let lines: String = devices(root)
        .iter()
        .map(
            |Device {
                 path, mode, group, ..
             }| { format!("z /dev/{path} {mode:04o} root {}\n", group.unwrap_or_default()) },
        )
        .collect();
    fs::create_dir_all(folder)?;
    fs::write(folder.join("banger-devices.conf"), lines)
}

/// Those that are opened in the guest whose files lie below `root`. Without its group, KVM stays root's.
fn devices(root: &Path) -> Vec<Device> {
    let kvm = group_id(root, KVM_GROUP).map(|group| Device {
        path: KVM,
        minor: 232,
        mode: 0o660,
        group: Some(group),
    });
    let tun = Device {
        path: TUN,
        minor: 200,
        mode: 0o666,
        group: None,
    };
    [Some(tun), kvm].into_iter().flatten().collect()
}

/// Whether a module can make the device: one that `modules.devname` lists, or KVM's, where the processor has what it needs.
fn may_come(path: &str, modules: &str, processors: &str) -> bool {
    match path {
        KVM => processors
            .lines()
            .filter(|line| line.starts_with("flags"))
            .any(|line| {
                line.split_ascii_whitespace()
                    .any(|flag| matches!(flag, "svm" | "vmx"))
            }),
        path => modules
            .lines()
            .any(|line| line.split_ascii_whitespace().nth(1) == Some(path)),
    }
}

/// Gives the device to whom it belongs; makes its node if it is not there and `may_come`.
fn open(device: &Device, may_come: bool) -> io::Result<()> {
    let path = PathBuf::from("/dev").join(device.path);
    if !path.exists() {
        if !may_come {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let (mode, number) = (Mode::from_raw_mode(0o600), makedev(MISC, device.minor));
        mknodat(CWD, &path, FileType::CharacterDevice, mode, number)?;
    }
    if let Some(group) = device.group {
        chown(&path, None, Some(group))?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(device.mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(group: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/group"), group).unwrap();
        root
    }

    fn kept(root: &Path) -> Option<String> {
        let folder = root.join("run/tmpfiles.d");
        keep_open(root, &folder).unwrap();
        fs::read_to_string(folder.join("banger-devices.conf")).ok()
    }

    #[test]
    fn systemd_leaves_the_devices_open_to_whom_they_belong() {
        let with_group = root("root:x:0:\nkvm:x:107:ada\n");
        let lines = "z /dev/net/tun 0666 root 0\nz /dev/kvm 0660 root 107\n";
        assert_eq!(kept(with_group.path()).as_deref(), Some(lines));
        let without = root("root:x:0:\n107:x:5:\n");
        assert_eq!(
            kept(without.path()).as_deref(),
            Some("z /dev/net/tun 0666 root 0\n")
        );
    }

    #[test]
    fn an_image_with_udev_says_so_itself() {
        let root = root("kvm:x:107:\n");
        let folder = root.path().join("usr/lib/tmpfiles.d");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("static-nodes-permissions.conf"), "").unwrap();
        assert_eq!(kept(root.path()), None);
    }

    #[test]
    fn a_node_is_made_only_where_a_module_can_bring_the_device() {
        let modules = "# Device nodes to trigger on-demand module loading.\nfuse fuse c10:229\ntun net/tun c10:200\nshort\n";
        assert!(may_come(TUN, modules, ""));
        assert!(!may_come(TUN, "net/tun fuse c10:229\n", ""));
        assert!(may_come(KVM, "", "processor\t: 0\nflags\t\t: fpu svm sse\n"));
        assert!(may_come(KVM, "", "flags\t\t: vmx\n"));
        assert!(!may_come(
            KVM,
            modules,
            "flags\t\t: fpu svm_lock\nmodel name: svm\n"
        ));
    }
}
