//! Where git looks for further objects: a variable with a list of paths between colons (git(1)).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The variable.
pub(crate) const ALTERNATES: &str = "GIT_ALTERNATE_OBJECT_DIRECTORIES";

/// A list of one path. In quotes, as C has them, a colon ends none, and nothing else of it means anything.
pub(crate) fn one_path(path: &Path) -> OsString {
    let mut quoted = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        match *byte {
            b'\n' => quoted.extend_from_slice(b"\\n"),
            b'"' | b'\\' => quoted.extend_from_slice(&[b'\\', *byte]),
            byte => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn git_finds_objects_by_a_path_of_any_bytes() {
        let place = tempfile::tempdir().unwrap();
        let git = |folder: &Path, arguments: &[&str], alternates: &Path| {
            let output = Command::new("git")
                .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
                .args(arguments)
                .current_dir(folder)
                .env(ALTERNATES, one_path(alternates))
                .output()
                .unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let empty = place.path().join("empty");
        fs::create_dir(&empty).unwrap();
        git(&empty, &["init", "-q"], Path::new("/"));
        for name in ["a:b", "line\nfeed", "quote\"d", "back\\slash", "\u{e4} b", "\\n"] {
            let other = place.path().join(name);
            fs::create_dir(&other).unwrap();
            git(&other, &["init", "-q"], Path::new("/"));
            git(
                &other,
                &["commit", "-q", "--allow-empty", "-m", name],
                Path::new("/"),
            );
            let commit = git(&other, &["rev-parse", "HEAD"], Path::new("/"));
            let found = git(&empty, &["cat-file", "-t", &commit], &other.join(".git/objects"));
            assert_eq!(found, "commit", "{name:?}");
        }
    }
}
