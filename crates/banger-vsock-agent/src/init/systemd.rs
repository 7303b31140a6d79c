//! What systemd finds in `/run` before it starts.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Units here rank above the image's.
const UNITS: &str = "/run/systemd/system";

/// The consoles that the kernel prints on.
const CONSOLES: &str = "/sys/class/tty/console/active";

/// No login on the consoles: the host only logs them. systemd would start one on each that is serial, and wait a
/// minute and a half for its device where the image has no udev.
pub(super) fn leave_consoles_alone() -> io::Result<()> {
    mask_logins(&fs::read_to_string(CONSOLES)?, Path::new(UNITS))
}

fn mask_logins(consoles: &str, units: &Path) -> io::Result<()> {
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
        mask_logins("ttyS0 hvc0\n", &units).unwrap();
        for console in ["ttyS0", "hvc0"] {
            let unit = units.join(format!("serial-getty@{console}.service"));
            assert_eq!(fs::read_link(unit).unwrap(), Path::new("/dev/null"));
        }
    }
}
