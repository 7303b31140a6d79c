//! The store, and who can get at it and at the daemon's socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use api::{Check, CheckState};
use config::Paths;
use store::Compatibility;

use super::check;
use crate::error::one_line;

/// Every page of the database reads well, and it is of this version.
pub(super) fn store(paths: &Paths) -> Check {
    const NAME: &str = "store";
    let database = paths.database();
    let fail = |message: String, hint: Option<&str>| check(NAME, CheckState::Fail, message, hint);
    match store::check(&database) {
        Ok(Compatibility::Compatible) => check(NAME, CheckState::Pass, database.display().to_string(), None),
        Ok(Compatibility::WillMigrate) => fail(
            format!("{} is gone, or was put back from before", database.display()),
            Some("banger daemon stop && banger daemon start"),
        ),
        Ok(Compatibility::TooNew) => fail(
            format!("{} is from a newer version", database.display()),
            Some("run the newer banger that wrote it"),
        ),
        Err(error) => fail(one_line(&error), error.hint().as_deref()),
    }
}

/// State, database and socket are closed to other users.
pub(super) fn private(paths: &Paths) -> Check {
    const NAME: &str = "privacy";
    let places = [
        paths.state().to_owned(),
        paths.database(),
        paths.runtime().to_owned(),
        paths.socket(),
    ];
    match open_to_others(&places) {
        Ok(None) => check(
            NAME,
            CheckState::Pass,
            "state, database and socket are closed to other users",
            None,
        ),
        Ok(Some((path, mode))) => check(
            NAME,
            CheckState::Fail,
            format!("{} has mode {mode:04o}, others can get at it", path.display()),
            Some(&format!("chmod go= {}", path.display())),
        ),
        Err((path, error)) => check(
            NAME,
            CheckState::Fail,
            format!("{}: {error}", path.display()),
            None,
        ),
    }
}

/// The first of them that others may use, with its mode.
fn open_to_others(places: &[PathBuf]) -> Result<Option<(&Path, u32)>, (&Path, io::Error)> {
    for place in places {
        let mode = place
            .metadata()
            .map_err(|error| (place.as_path(), error))?
            .permissions()
            .mode()
            & 0o7777;
        if mode & 0o077 != 0 {
            return Ok(Some((place, mode)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use config::Environment;

    use super::*;

    fn paths(folder: &Path) -> Paths {
        let environment = Environment::new(rustix::process::geteuid().as_raw())
            .with("HOME", folder)
            .with("XDG_RUNTIME_DIR", folder);
        let paths = Paths::personal(&environment).unwrap();
        paths.prepare().unwrap();
        paths
    }

    #[test]
    fn a_store_that_is_gone_or_broken_fails() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        assert_eq!(store(&paths).state, CheckState::Fail);
        fs::write(
            paths.database(),
            "no database at all, but long enough to look like one".repeat(40),
        )
        .unwrap();
        let broken = store(&paths);
        assert_eq!(broken.state, CheckState::Fail);
        assert!(broken.hint.is_some(), "{}", broken.message);
    }

    #[test]
    fn what_others_can_get_at_fails_with_the_command_that_closes_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        for file in [paths.database(), paths.socket()] {
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        }
        assert_eq!(private(&paths).state, CheckState::Pass);
        fs::set_permissions(paths.socket(), PermissionsExt::from_mode(0o666)).unwrap();
        let open = private(&paths);
        assert_eq!(open.state, CheckState::Fail);
        assert_eq!(open.hint, Some(format!("chmod go= {}", paths.socket().display())));
    }
}
