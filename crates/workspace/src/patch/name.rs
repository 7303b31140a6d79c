//! Names that a path from a guest may have.
//!
//! What a file system could take for `.git` counts as `.git`: other letter cases, the characters that HFS+ ignores, the
//! short names and streams of NTFS, dots and spaces at the end. A tree may be moved to such a file system later.

/// Longest path and name, and most levels.
const PATH_MAX: usize = 4095;
const NAME_MAX: usize = 255;
const LEVELS: usize = 256;

/// Checks a path below the working tree's top.
pub(crate) fn check(path: &[u8]) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > PATH_MAX {
        return Err("is no path");
    }
    if path.contains(&0) {
        return Err("holds a zero byte");
    }
    let mut levels = 0;
    for name in path.split(|byte| *byte == b'/') {
        levels += 1;
        match name {
            b"" => return Err("is absolute or has an empty name in it"),
            b"." | b".." => return Err("leads out of the tree"),
            name if name.len() > NAME_MAX => return Err("has a name that is too long"),
            name if is_git(name) => return Err("reaches into `.git`"),
            _ => {}
        }
    }
    if levels > LEVELS {
        return Err("lies too deep");
    }
    Ok(())
}

/// Whether some file system would take a name for `.git`.
pub(crate) fn is_git(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    let folded: String = name
        .chars()
        .filter(|letter| !is_ignored(*letter))
        .flat_map(char::to_lowercase)
        .collect();
    // NTFS: a stream after a colon, and a backslash is a slash.
    let first = folded.split([':', '\\']).next().unwrap_or_default();
    let parts = folded
        .split('\\')
        .map(|part| part.split(':').next().unwrap_or_default());
    parts
        .chain([first])
        .any(|part| matches!(part.trim_end_matches(['.', ' ']), ".git" | "git~1"))
}

/// Code points that HFS+ leaves out when it compares names (Apple's TN1150, "Unicode Subtleties").
fn is_ignored(letter: char) -> bool {
    matches!(letter, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_file_system_takes_for_git_is_refused_and_its_neighbours_are_not() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            ".g\u{200c}it",
            ".gi\u{feff}t",
            ".git.",
            ".git ",
            ".git. .",
            "git~1",
            "GIT~1",
            ".git::$INDEX_ALLOCATION",
            ".git:stream",
            ".git\\hooks",
            "a\\.git",
        ] {
            for path in [
                name.to_owned(),
                format!("a/{name}"),
                format!("{name}/hooks/post-checkout"),
            ] {
                assert!(check(path.as_bytes()).is_err(), "{path:?}");
            }
        }
        for path in [
            ".gitignore",
            ".gitattributes",
            "git",
            "a.git",
            ".github/x",
            "..a",
            "a b/-rf",
            "...",
            "git~2",
        ] {
            assert!(check(path.as_bytes()).is_ok(), "{path:?}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a\0b",
            &"a/".repeat(300),
        ] {
            assert!(check(path.as_bytes()).is_err(), "{path:?}");
        }
    }
}
