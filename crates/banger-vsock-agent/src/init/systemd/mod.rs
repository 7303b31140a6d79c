//! What systemd finds before it starts: in `/run`, and at `/tmp`.

mod end;
mod logins;
mod tmp;
mod unit;

use std::fs;
use std::path::Path;

use super::agent::log;
pub use end::{LAST_PROGRAM, end_for_systemd};

/// Units here rank above the image's. That this folder is there tells everyone that systemd is the init.
const UNITS: &str = "/run/systemd/system";
/// Files here rank above the image's of the same name.
const FILES: &str = "/run/tmpfiles.d";

/// Prepares for this init, if it is systemd. What fails is worth a line in the log, not a machine.
pub(super) fn prepare(init: &Path) {
    if !is_systemd(init) {
        return;
    }
    if let Err(error) = logins::mask(Path::new(UNITS)) {
        log(&format!("cannot keep logins off the consoles: {error}"));
    }
    if let Err(error) = tmp::settle(Path::new(UNITS)) {
        log(&format!("cannot settle /tmp before systemd does: {error}"));
    }
    if let Err(error) = super::devices::keep_open(Path::new("/"), Path::new(FILES)) {
        log(&format!("cannot have systemd leave the devices open: {error}"));
    }
}

/// Has this init, if it is systemd, leave the machine through us. `keeper` runs our binary until the end.
pub(super) fn offer_end(init: &Path, keeper: u32) {
    if is_systemd(init)
        && let Err(error) = end::offer(Path::new(end::FOLDER), keeper)
    {
        log(&format!("cannot be told how systemd ends the machine: {error}"));
    }
}

fn is_systemd(init: &Path) -> bool {
    fs::canonicalize(init).is_ok_and(|program| program.file_name().is_some_and(|name| name == "systemd"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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
}
