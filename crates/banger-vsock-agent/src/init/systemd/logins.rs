//! No login on the consoles: the host only logs them. systemd would start one on each that is serial, and wait a minute
//! and a half for its device where the image has no udev.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The consoles that the kernel prints on.
const CONSOLES: &str = "/sys/class/tty/console/active";

/// Masks the login of each console.
pub(super) fn mask(units: &Path) -> io::Result<()> {
    mask_each(&fs::read_to_string(CONSOLES)?, units)
}

fn mask_each(consoles: &str, units: &Path) -> io::Result<()> {
    fs::create_dir_all(units)?;
    for console in consoles.split_ascii_whitespace() {
        symlink("/dev/null", units.join(format!("serial-getty@{console}.service")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_on_each_console_is_masked() {
        let folder = tempfile::tempdir().unwrap();
        let units = folder.path().join("systemd/system");
        mask_each("ttyS0 hvc0\n", &units).unwrap();
        for console in ["ttyS0", "hvc0"] {
            let unit = units.join(format!("serial-getty@{console}.service"));
            assert_eq!(fs::read_link(unit).unwrap(), Path::new("/dev/null"));
        }
    }
}
