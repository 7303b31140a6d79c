//! What systemd finds in `/run` before it starts.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::agent::log;

/// Units here rank above the image's.
const UNITS: &str = "/run/systemd/system";

/// The consoles that the kernel prints on.
const CONSOLES: &str = "/sys/class/tty/console/active";

/// Prepares for this init, if it is systemd. The folder that this makes tells everyone that it is.
///
/// No login on the consoles: the host only logs them. systemd would start one on each that is serial, and wait a
/// minute and a half for its device where the image has no udev.
pub(super) fn prepare(init: &Path) {
    if !is_systemd(init) {
        return;
    }
    let masked = fs::read_to_string(CONSOLES).and_then(|consoles| mask_logins(&consoles, Path::new(UNITS)));
    // Worth a line in the log, not a machine.
    if let Err(error) = masked {
        log(&format!("cannot keep logins off the consoles: {error}"));
    }
}

fn is_systemd(init: &Path) -> bool {
    fs::canonicalize(init).is_ok_and(|program| program.file_name().is_some_and(|name| name == "systemd"))
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
    fn systemd_is_known_by_its_program() {
        let folder = tempfile::tempdir().unwrap();
        let init = folder.path().join("init");
        fs::write(folder.path().join("systemd"), "").unwrap();
        symlink("systemd", &init).unwrap();
        assert!(is_systemd(&init));
        fs::remove_file(&init).unwrap();
        fs::write(&init, "").unwrap();
        assert!(!is_systemd(&init));
    }

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
