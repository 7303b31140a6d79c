//! Names that a path from a guest may have.
//!
//! What a file system could take for `.git` counts as `.git`: other letter cases, the characters that HFS+ and the
//! case-folding folders of Linux ignore, the short names and streams of NTFS, dots and spaces at the end. A tree may be
//! moved to such a file system later.

use unicode_normalization::UnicodeNormalization;

use crate::error::is_unseen;

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
    folded(name).any(|part| matches!(part.as_str(), ".git" | "git~1"))
}

/// What some file system takes a name for: without case, without the characters that nobody sees and with accents apart
/// from their letters (HFS+, APFS and the case-folding folders of Linux compare canonical decompositions), each part
/// between backslashes without the stream, dots and spaces that NTFS cuts off its end.
pub(crate) fn folded(name: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(name);
    let mut folded = String::with_capacity(text.len());
    for letter in text.nfd().filter(|letter| !is_ignored(*letter)) {
        match letter {
            // Full case folding, which file systems of Apple do and lower case does not.
            '\u{17f}' => folded.push('s'),
            '\u{df}' | '\u{1e9e}' => folded.push_str("ss"),
            '\u{fb00}' => folded.push_str("ff"),
            '\u{fb01}' => folded.push_str("fi"),
            '\u{fb02}' => folded.push_str("fl"),
            '\u{fb03}' => folded.push_str("ffi"),
            '\u{fb04}' => folded.push_str("ffl"),
            '\u{fb05}' | '\u{fb06}' => folded.push_str("st"),
            letter => folded.extend(letter.to_lowercase()),
        }
    }
    // Letters without case may come apart further, and marks move where something between them is ignored.
    let folded: String = folded.nfd().collect();
    let parts: Vec<String> = folded
        .split('\\')
        .map(|part| {
            let part = part.split(':').next().unwrap_or_default();
            part.trim_end_matches(['.', ' ']).to_owned()
        })
        .collect();
    parts.into_iter()
}

/// Whether a name has the form of those that NTFS gives to longer ones, such as `GITMOD~1` for `.gitmodules`.
pub(crate) fn is_short(name: &[u8]) -> bool {
    let (stem, end) = match name.iter().rposition(|byte| *byte == b'.') {
        Some(dot) => (&name[..dot], &name[dot + 1..]),
        None => (name, &b""[..]),
    };
    let Some(tilde) = stem.iter().rposition(|byte| *byte == b'~') else {
        return false;
    };
    let number = &stem[tilde + 1..];
    (1..=6).contains(&tilde)
        && (1..=6).contains(&number.len())
        && stem.len() <= 8
        && end.len() <= 3
        && number.iter().all(u8::is_ascii_digit)
}

/// Code points that a file system may leave out when it compares names: HFS+ some (Apple's TN1150, "Unicode Subtleties"),
/// case-folding folders of Linux all that are ignorable by default.
fn is_ignored(letter: char) -> bool {
    is_unseen(letter) && !letter.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_as_the_file_systems_do_that_fold_most() {
        for (name, is) in [
            ("Makefile", "makefile"),
            ("MAKEFILE", "makefile"),
            ("ma\u{212a}efile", "makefile"),
            ("Ru\u{17f}tfmt", "rustfmt"),
            ("Procfile. .", "procfile"),
            ("Procfile::$DATA", "procfile"),
            ("con\u{fb01}g", "config"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("CAF\u{c9}", "cafe\u{301}"),
            ("cafe\u{200d}\u{301}", "cafe\u{301}"),
            ("\u{1ed9}", "o\u{323}\u{302}"),
            ("o\u{302}\u{323}", "o\u{323}\u{302}"),
            ("\u{d55c}", "\u{1112}\u{1161}\u{11ab}"),
            ("\u{212b}", "a\u{30a}"),
            ("\u{130}", "i\u{307}"),
            (".en\u{200d}vrc", ".envrc"),
            (".g\u{ad}it", ".git"),
            (".g\u{34f}i\u{3164}t", ".git"),
            (".\u{2060}git\u{fe0f}", ".git"),
            (".git\u{200b}", ".git"),
        ] {
            assert_eq!(folded(name.as_bytes()).collect::<Vec<_>>(), [is], "{name:?}");
        }
        assert_eq!(folded(b"a\\.Git").collect::<Vec<_>>(), ["a", ".git"]);
    }

    #[test]
    fn short_names_of_ntfs_are_known_by_their_form() {
        for name in [
            "GITMOD~1",
            "gi7eba~1",
            "GITATT~2",
            "A~1",
            "ENVRC~1.TOM",
            "ABCDEF~1.C",
        ] {
            assert!(is_short(name.as_bytes()), "{name}");
        }
        for name in [
            "a",
            "~1",
            "notes~",
            "a~b",
            "longer-name~1",
            "x~1.toml",
            "a.b~1.x.html",
            "backup~2024-01",
        ] {
            assert!(!is_short(name.as_bytes()), "{name}");
        }
    }

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
