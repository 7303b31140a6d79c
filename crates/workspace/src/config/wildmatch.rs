//! Patterns with `*`, `?`, `[…]` and `**`, as git's conditions of includes have them (`gitignore(5)`, and what git's
//! `wildmatch.c` makes of it with `WM_PATHNAME`).

use super::class::Class;

/// Whether all of a text matches a pattern. `*` and `?` do not match a slash, `**` between slashes matches any folders.
///
/// Pattern and text may be hostile: the time is at most the product of their lengths, the memory a multiple of the pattern's.
pub(super) fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let fold = |byte: u8| match ignore_case {
        true => byte.to_ascii_lowercase(),
        false => byte,
    };
    let Some(steps) = steps(pattern, ignore_case) else {
        return false;
    };
    // Of each step, and of the end, whether the text so far leads to it.
    let mut now = vec![false; steps.len() + 1];
    let mut next = now.clone();
    now[0] = true;
    pass(&steps, &mut now);
    for byte in text.iter().copied().map(fold) {
        next.fill(false);
        for (at, step) in steps.iter().enumerate().filter(|(at, _)| now[*at]) {
            match step {
                Step::Byte(wanted) => next[at + 1] |= byte == *wanted,
                Step::One => next[at + 1] |= byte != b'/',
                Step::OneOf(class) => next[at + 1] |= byte != b'/' && class.has(byte),
                Step::Within => next[at] |= byte != b'/',
                Step::Across => next[at] = true,
                Step::Folders => {}
            }
        }
        pass(&steps, &mut next);
        std::mem::swap(&mut now, &mut next);
    }
    now[steps.len()]
}

/// What a part of a pattern takes of a text.
enum Step {
    Byte(u8),
    One,
    OneOf(Box<Class>),
    /// Any number of bytes but slashes.
    Within,
    /// Any number of bytes.
    Across,
    /// Nothing, where the two steps after it need not be taken: those of `**` and of its slash.
    Folders,
}

/// Goes on over the steps that take nothing.
fn pass(steps: &[Step], reached: &mut [bool]) {
    for (at, step) in steps.iter().enumerate() {
        if reached[at] {
            match step {
                Step::Within | Step::Across => reached[at + 1] = true,
                Step::Folders => {
                    reached[at + 1] = true;
                    reached[at + 3] = true;
                }
                Step::Byte(_) | Step::One | Step::OneOf(_) => {}
            }
        }
    }
}

/// The steps of a pattern; none if it has a class without an end or with a name that is none, which matches nothing.
fn steps(pattern: &[u8], ignore_case: bool) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'*' => {
                // Any number from two on is `**`.
                let stars = pattern[at..].iter().take_while(|byte| **byte == b'*').count();
                let across = stars > 1 && (at == 0 || pattern[at - 1] == b'/');
                at += stars;
                match &pattern[at..] {
                    [b'/', ..] if across => {
                        steps.extend([Step::Folders, Step::Across, Step::Byte(b'/')]);
                        at += 1;
                    }
                    [] | [b'\\', b'/', ..] if across => steps.push(Step::Across),
                    _ => steps.push(Step::Within),
                }
                continue;
            }
            b'?' => steps.push(Step::One),
            b'[' => {
                let (class, length) = Class::read(&pattern[at..], ignore_case)?;
                steps.push(Step::OneOf(Box::new(class)));
                at += length;
                continue;
            }
            // As it is: one in upper case is found in no text whose case does not count.
            b'\\' => {
                at += 1;
                steps.push(Step::Byte(*pattern.get(at)?));
            }
            byte if ignore_case => steps.push(Step::Byte(byte.to_ascii_lowercase())),
            byte => steps.push(Step::Byte(byte)),
        }
        at += 1;
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folders_letters_and_classes_match_as_git_says() {
        for (pattern, text, expected) in [
            ("**/work/**", "/home/ada/work/site/.git", true),
            ("/home/ada/work/**", "/home/ada/work/site/.git", true),
            ("/home/ada/work/**", "/home/ada/works/.git", false),
            ("/home/*/work/**", "/home/ada/work/.git", true),
            ("/home/*/.git", "/home/ada/work/.git", false),
            ("**/a", "a", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a**b", "a/b", false),
            ("?[a-c]\\*", "xb*", true),
            ("[!a]", "a", false),
            ("[]x]", "]", true),
            ("[a", "a", false),
            ("", "", true),
            ("https://*/**", "https://example.org/a/b", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), false),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(matches(b"/HOME/**", b"/home/x", true));
    }

    /// What git says of each pattern that a text is compared with, as the branch that is checked out.
    fn by_git(text: &str, patterns: &[String], ignore_case: bool) -> Vec<bool> {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut git = std::process::Command::new("git");
            git.args(arguments).current_dir(folder.path());
            git.env("GIT_CONFIG_GLOBAL", folder.path().join("settings"));
            git.env("GIT_CONFIG_NOSYSTEM", "1");
            let output = git.output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        // The folder's own path, which no pattern changes, goes before those whose case does not count.
        let (kind, before) = match ignore_case {
            true => ("gitdir/i", "./".to_owned()),
            false => ("onbranch", String::new()),
        };
        let mut settings = String::new();
        for (number, pattern) in patterns.iter().enumerate() {
            let quoted = pattern.replace('\\', "\\\\").replace('"', "\\\"");
            settings.push_str(&format!(
                "[includeIf \"{kind}:{before}{quoted}\"]\n\tpath = holds{number}\n"
            ));
            std::fs::write(
                folder.path().join(format!("holds{number}")),
                format!("[a]\n\tb = {number}\n"),
            )
            .unwrap();
        }
        match ignore_case {
            true => {
                // A repository without a tree, whose folder is what is compared.
                git(&["init", "-q", "--bare", text]);
                std::fs::write(folder.path().join("settings"), settings).unwrap();
                let found = git(&["--git-dir", text, "config", "--get-all", "a.b"]);
                said(&found, patterns.len())
            }
            false => {
                git(&["init", "-q", "."]);
                std::fs::write(
                    folder.path().join(".git/HEAD"),
                    format!("ref: refs/heads/{text}\n"),
                )
                .unwrap();
                std::fs::write(folder.path().join("settings"), settings).unwrap();
                said(&git(&["config", "--get-all", "a.b"]), patterns.len())
            }
        }
    }

    fn said(found: &str, count: usize) -> Vec<bool> {
        let found: Vec<usize> = found.lines().map(|line| line.parse().unwrap()).collect();
        (0..count).map(|number| found.contains(&number)).collect()
    }

    /// Patterns of the parts that mean something, drawn by a number.
    fn drawn(seed: u64, letters: &[&str]) -> Vec<String> {
        let mut state = seed;
        let mut next = |below: usize| {
            // Knuth's generator: the low bits are poor.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        (0..500)
            .map(|_| (0..=next(7)).map(|_| letters[next(letters.len())]).collect())
            .collect()
    }

    #[test]
    fn patterns_match_as_they_do_in_git() {
        const LETTERS: &[&str] = &[
            "*",
            "**",
            "***",
            "/",
            "/",
            "a",
            "b",
            "A",
            "?",
            "[a-c]",
            "[!a]",
            "[^b]",
            "[a-\\c]",
            "[]a]",
            "[!]]",
            "[[:alpha:]]",
            "[[:upper:]/]",
            "[[:digit:]x]",
            "[[:x:]]",
            "[[:",
            "[a-",
            "\\",
            "\\/",
            "[[:]",
            "[-a]",
            "[\\]a]",
            "[a-c-e]",
            "[A-Z]",
            "[A]",
            "[[:punct:]]",
            "[[:xdigit:][:space:]]",
            "-",
            "]",
            "[[:alpha:",
        ];
        // Never at the end: git adds `**` to a slash there, by its own rule.
        let patterns: Vec<String> = drawn(7, LETTERS)
            .into_iter()
            .filter(|pattern| !pattern.ends_with('/'))
            .collect();
        let other: Vec<String> = patterns
            .iter()
            .filter(|pattern| !pattern.starts_with('/'))
            .cloned()
            .collect();
        let mut found = 0;
        for (text, patterns, ignore_case) in [
            ("a", &patterns, false),
            ("b/a", &patterns, false),
            ("a/b/c", &patterns, false),
            ("A-b", &patterns, false),
            ("c/a]b/x", &patterns, false),
            ("b/A", &other, true),
            ("C/a]B", &other, true),
        ] {
            for (pattern, git) in patterns.iter().zip(by_git(text, patterns, ignore_case)) {
                let own = matches(pattern.as_bytes(), text.as_bytes(), ignore_case);
                assert_eq!(own, git, "{pattern} {text} {ignore_case}");
                found += usize::from(git);
            }
        }
        assert!(found > 50, "{found} of them match");
    }

    #[test]
    fn long_patterns_take_their_length_times_the_texts() {
        let text = vec![b'a'; 4_000];
        assert!(!matches(&[&b"*a".repeat(3_000)[..], b"b"].concat(), &text, false));
        assert!(!matches(
            &[&b"**/".repeat(300_000)[..], b"b"].concat(),
            b"main",
            false
        ));
        assert!(matches(
            &[&b"**/".repeat(300_000)[..], b"main"].concat(),
            b"main",
            false
        ));
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_panic_or_run_for_ever(pattern in "[a*?\\[\\]!\\-/\\\\]{0,40}", text in "[a/]{0,200}") {
            let _ = matches(pattern.as_bytes(), text.as_bytes(), false);
        }
    }
}
