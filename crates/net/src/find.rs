//! Finding passt on this host.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

/// The passt to use: `configured`, a path or a name on `PATH`, else `passt` on `PATH`. `None`: there is no such
/// executable file.
pub fn find_passt(configured: Option<&Path>) -> Option<PathBuf> {
    find(
        configured.unwrap_or(Path::new("passt")),
        env::var_os("PATH").as_deref(),
    )
}

fn find(program: &Path, search: Option<&OsStr>) -> Option<PathBuf> {
    if program.components().nth(1).is_some() || program.is_absolute() {
        // It is started from another folder.
        return std::path::absolute(program)
            .ok()
            .filter(|path| is_executable(path));
    }
    env::split_paths(search?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn place(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_name_is_searched_and_a_path_is_not() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let search = env::join_paths([Path::new("relative"), first.path(), second.path()]).unwrap();
        let find = |program: &Path| find(program, Some(&search));
        place(first.path(), "passt", 0o644);
        let passt = place(second.path(), "passt", 0o755);
        assert_eq!(
            find(Path::new("passt")),
            Some(passt.clone()),
            "the first is not executable"
        );
        assert_eq!(find(&passt), Some(passt));
        assert_eq!(find(&first.path().join("passt")), None);
        assert_eq!(find(Path::new("./passt")), None);
        assert_eq!(find(Path::new("pass")), None);
        assert_eq!(find(second.path()), None, "a folder");
        assert_eq!(super::find(Path::new("passt"), None), None);
    }
}
