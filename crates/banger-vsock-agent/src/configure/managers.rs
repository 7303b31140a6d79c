//! Tells the image's network managers, if it has any, that `eth0` and the resolver are not theirs.
//!
//! In `/run`, which is new at each boot: nothing of it stays in the image. ifupdown has no such place, and does
//! nothing unless the image says so.

use std::fs;
use std::io;
use std::path::Path;

use super::files::{about, replace};

/// Files below `/run`.
const FILES: [(&str, &str); 2] = [
    (
        "systemd/network/00-banger-eth0.network",
        "# banger's agent has set up this device.\n[Match]\nName=eth0\n\n[Link]\nUnmanaged=yes\n",
    ),
    (
        "NetworkManager/conf.d/00-banger.conf",
        "# banger's agent has set up this device and the resolver.\n[main]\ndns=none\nrc-manager=unmanaged\n\n\
         [device-banger]\nmatch-device=interface-name:eth0\nmanaged=0\n",
    ),
];

/// A unit that waits for a managed device that comes online. With none it waits for two minutes.
const MASKED: &str = "systemd/system/systemd-networkd-wait-online.service";

/// Writes the drop-ins.
pub(super) fn tell(root: &Path) -> io::Result<()> {
    let run = root.join("run");
    for (name, content) in FILES {
        let path = run.join(name);
        replace(&path, content.as_bytes(), 0o644).map_err(about(&path))?;
    }
    // The folder itself tells programs that systemd runs the machine: only where that is so.
    let init = fs::canonicalize(root.join("sbin/init")).unwrap_or_default();
    if init.file_name().is_some_and(|name| name == "systemd") {
        mask(&run.join(MASKED))?;
    }
    Ok(())
}

fn mask(unit: &Path) -> io::Result<()> {
    if let Some(folder) = unit.parent() {
        fs::create_dir_all(folder).map_err(about(folder))?;
    }
    match std::os::unix::fs::symlink("/dev/null", unit) {
        // Ours, of an earlier time in this boot.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(about(unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_are_told_again_and_again() {
        let root = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            tell(root.path()).unwrap();
        }
        let networkd = root.path().join("run/systemd/network/00-banger-eth0.network");
        assert!(fs::read_to_string(networkd).unwrap().contains("Name=eth0\n"));
        // What tells programs that systemd runs the machine appears only where it does.
        assert!(!root.path().join("run/systemd/system").exists());
        fs::create_dir_all(root.path().join("sbin")).unwrap();
        fs::create_dir_all(root.path().join("lib/systemd")).unwrap();
        fs::write(root.path().join("lib/systemd/systemd"), "").unwrap();
        std::os::unix::fs::symlink("../lib/systemd/systemd", root.path().join("sbin/init")).unwrap();
        for _ in 0..2 {
            tell(root.path()).unwrap();
        }
        let unit = root.path().join("run").join(MASKED);
        assert_eq!(fs::read_link(unit).unwrap(), Path::new("/dev/null"));
    }
}
