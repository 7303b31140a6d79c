//! Which `bangerd` is ours: the one beside this program, else the first on PATH.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Finds a program of banger's.
pub fn find(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    find_in(
        name,
        own.as_deref().and_then(Path::parent),
        std::env::var_os("PATH").as_deref(),
    )
}

fn find_in(name: &str, beside: Option<&Path>, path: Option<&OsStr>) -> Option<PathBuf> {
    let folders = path
        .map(|path| std::env::split_paths(path).collect::<Vec<_>>())
        .unwrap_or_default();
    beside
        .map(Path::to_owned)
        .into_iter()
        // A relative entry would run whatever lies in the current directory.
        .chain(folders.into_iter().filter(|folder| folder.is_absolute()))
        .map(|folder| folder.join(name))
        .find(|program| is_executable(program))
}

fn is_executable(program: &Path) -> bool {
    program
        .metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_beside_this_program_comes_before_those_on_path() {
        let folder = tempfile::tempdir().unwrap();
        let (beside, on_path) = (folder.path().join("beside"), folder.path().join("path"));
        for folder in [&beside, &on_path] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("bangerd"), "").unwrap();
        }
        let find = || find_in("bangerd", Some(&beside), Some(on_path.as_os_str()));
        assert_eq!(find(), None, "neither can be executed");
        std::fs::set_permissions(on_path.join("bangerd"), PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find(), Some(on_path.join("bangerd")));
        std::fs::set_permissions(beside.join("bangerd"), PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find(), Some(beside.join("bangerd")));
    }
}
