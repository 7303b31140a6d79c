//! Programs that root has run as another user, in folders that this user can change.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::time::Duration;

use process::{Bounds, Command, Confinement, ProcessError};
use rustix::process::getuid;
use tempfile::TempDir;

const OTHER: u32 = 61_000;
const BOUNDS: Bounds = Bounds {
    output: 1 << 20,
    errors: 1000,
    time: Duration::from_secs(60),
};

/// A folder of the other user's, and one of root's with a part that is open to all but for the way there.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (folder, mode) in [("closed/open", 0o777), ("closed", 0o700), ("theirs", 0o755)] {
            fs::create_dir_all(place.path(folder)).unwrap();
            fs::set_permissions(place.path(folder), fs::Permissions::from_mode(mode)).unwrap();
        }
        if getuid().is_root() {
            chown(place.path("theirs"), Some(OTHER), Some(OTHER)).unwrap();
        }
        symlink(place.path("closed/open"), place.path("theirs/link")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    /// A program that writes by a folder of the other user's that is shown to it.
    fn writing(&self, folder: &str) -> Command {
        let folder = self.path(folder);
        let mut confinement = Confinement::new(0);
        confinement
            .show_programs()
            .device("/dev/null")
            .become_user(OTHER, OTHER)
            .show_writable_of_user(&folder, &folder);
        let mut command = Command::new("/bin/sh");
        command
            .arguments([
                "-c",
                "touch made && id -u && id -g && id -G && grep CapEff /proc/self/status",
            ])
            .folder(&folder)
            .confine(confinement);
        command
    }
}

#[test]
fn what_is_shown_of_a_users_leads_to_nothing_that_the_user_cannot_reach() {
    let place = Place::new();
    let made = place.path("closed/open/made");
    let outcome = place.writing("theirs/link").run(None, BOUNDS);
    if getuid().is_root() {
        let error = outcome.unwrap_err();
        assert!(matches!(error, ProcessError::Confine { .. }), "{error:?}");
        assert!(!made.exists());
        // The same way, once it is the user's.
        fs::set_permissions(place.path("closed"), fs::Permissions::from_mode(0o711)).unwrap();
        place.writing("theirs/link").run(None, BOUNDS).unwrap();
        assert_eq!(made.metadata().unwrap().uid(), OTHER);
    } else {
        // A plain user's own way is that user's.
        outcome.unwrap();
        assert!(made.exists());
    }
}

#[test]
fn root_that_cannot_confine_another_users_program_has_it_run_as_that_user_all_the_same() {
    let root = getuid().is_root();
    let how = match root {
        true => "exec setpriv --bounding-set -sys_admin \"$@\"",
        false => "exec \"$@\"",
    };
    let output = std::process::Command::new("/bin/sh")
        .args(["-euc", how, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "without_the_right_to_confine",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by root_that_cannot_confine_another_users_program_has_it_run_as_that_user_all_the_same"]
fn without_the_right_to_confine() {
    let place = Place::new();
    let mut command = place.writing("theirs");
    command.unconfined_if_refused();
    let finished = command.run(None, BOUNDS).unwrap();
    let made = place.path("theirs/made").metadata().unwrap();
    if getuid().is_root() {
        assert!(!finished.confined);
        let said = String::from_utf8(finished.output).unwrap();
        assert_eq!(said, "61000\n61000\n61000\nCapEff:\t0000000000000000\n");
        assert_eq!((made.uid(), made.gid()), (OTHER, OTHER));
        // Nor does it work where that user cannot get to.
        let mut command = place.writing("theirs/link");
        command.unconfined_if_refused();
        command.run(None, BOUNDS).unwrap_err();
        assert!(!place.path("closed/open/made").exists());
    } else {
        assert_eq!(made.uid(), getuid().as_raw());
    }
}
