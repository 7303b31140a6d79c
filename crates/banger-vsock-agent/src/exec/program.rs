//! Finding the program that a command names, in the guest's `PATH`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use guest::{Problem, ProblemCode};

use super::accounts::Account;
use crate::problem::problem;

/// The shell that is there when the account's own is not.
const PLAIN_SHELL: &str = "/bin/sh";

enum Candidate {
    Program,
    NotExecutable,
    Missing,
}

fn look(path: &Path) -> Candidate {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => {
            Candidate::Program
        }
        Ok(_) => Candidate::NotExecutable,
        Err(_) => Candidate::Missing,
    }
}

/// Finds `name` as execvp(3) does: with a slash it is a path, from `workdir`; without, it is searched for.
pub(super) fn find(name: &OsStr, search: &OsStr, workdir: &Path) -> Result<PathBuf, Problem> {
    let mut seen = None;
    let candidates: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        vec![workdir.join(name)]
    } else {
        std::env::split_paths(search)
            .map(|folder| workdir.join(folder).join(name))
            .collect()
    };
    for candidate in candidates {
        match look(&candidate) {
            Candidate::Program => return Ok(candidate),
            Candidate::NotExecutable => seen = seen.or(Some(candidate)),
            Candidate::Missing => {}
        }
    }
    Err(match seen {
        Some(path) => not_executable(&path, "not an executable file"),
        None => problem(
            ProblemCode::CommandNotFound,
            format!(
                "`{}` not found in the guest",
                name.to_string_lossy().escape_debug()
            ),
        ),
    })
}

/// The program is there and the kernel does not take it.
pub(super) fn not_executable(path: &Path, reason: impl std::fmt::Display) -> Problem {
    problem(
        ProblemCode::CommandNotExecutable,
        format!(
            "`{}` cannot be executed: {reason}",
            path.display().to_string().escape_debug()
        ),
    )
}

/// The account's shell, or the plain one where it has none that can be executed.
pub(super) fn shell(account: &Account) -> Option<PathBuf> {
    [&*account.shell, Path::new(PLAIN_SHELL)]
        .into_iter()
        .find(|path| path.is_absolute() && matches!(look(path), Candidate::Program))
        .map(Path::to_owned)
}

/// What a shell is called that is to behave as a login shell: `-bash`.
pub(super) fn login_name(shell: &Path) -> OsString {
    let mut name = OsString::from("-");
    name.push(shell.file_name().unwrap_or(OsStr::new("sh")));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_would() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("a/tool", 0o644), ("b/tool", 0o755), ("a/data", 0o644)] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let search = OsStr::new("a:missing:b");
        let find = |name: &str| find(name.as_ref(), search, folder.path()).map_err(|problem| problem.code);
        assert_eq!(find("tool"), Ok(folder.path().join("b/tool")));
        assert_eq!(find("./b/tool"), Ok(folder.path().join("./b/tool")));
        assert_eq!(find("a/tool"), Err(ProblemCode::CommandNotExecutable));
        assert_eq!(find("data"), Err(ProblemCode::CommandNotExecutable));
        assert_eq!(find("../b"), Err(ProblemCode::CommandNotFound));
        assert_eq!(find("b/"), Err(ProblemCode::CommandNotExecutable));
        assert_eq!(find("nothing"), Err(ProblemCode::CommandNotFound));
    }
}
