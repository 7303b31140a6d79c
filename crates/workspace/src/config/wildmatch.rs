//! Patterns with `*`, `?`, `[…]` and `**`, as git's conditions of includes have them (`gitignore(5)`).

/// Whether all of a text matches a pattern. `*` and `?` do not match a slash, `**` between slashes matches any folders.
///
/// Pattern and text may be hostile: the time is at most the product of their lengths, the memory a multiple of the pattern's.
pub(super) fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let fold = |byte: u8| match ignore_case {
        true => byte.to_ascii_lowercase(),
        false => byte,
    };
    let pattern: Vec<u8> = pattern.iter().copied().map(fold).collect();
    let Some(steps) = steps(&pattern) else {
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
    OneOf(Class),
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

/// The steps of a pattern; none if it has a class without an end, which matches nothing.
fn steps(pattern: &[u8]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'*' => {
                let stars = pattern[at..].iter().take_while(|byte| **byte == b'*').count();
                let before = at == 0 || pattern[at - 1] == b'/';
                at += stars;
                match pattern.get(at) {
                    Some(b'/') if stars == 2 && before => {
                        steps.extend([Step::Folders, Step::Across, Step::Byte(b'/')]);
                        at += 1;
                    }
                    None if stars == 2 && before => steps.push(Step::Across),
                    _ => steps.push(Step::Within),
                }
                continue;
            }
            b'?' => steps.push(Step::One),
            b'[' => {
                let (class, length) = Class::read(&pattern[at..])?;
                steps.push(Step::OneOf(class));
                at += length;
                continue;
            }
            b'\\' if at + 1 < pattern.len() => {
                at += 1;
                steps.push(Step::Byte(pattern[at]));
            }
            byte => steps.push(Step::Byte(byte)),
        }
        at += 1;
    }
    Some(steps)
}

/// `[a-c]` or `[!a-c]`: a bit for each byte.
struct Class([u64; 4]);

impl Class {
    /// The class that a pattern begins with, and its length.
    fn read(pattern: &[u8]) -> Option<(Self, usize)> {
        let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
        let first = 1 + usize::from(negated);
        let mut at = first;
        let mut bits = [0; 4];
        loop {
            let mut low = *pattern.get(at)?;
            if low == b']' && at > first {
                break;
            }
            if low == b'\\' {
                at += 1;
                low = *pattern.get(at)?;
            }
            at += 1;
            let mut high = low;
            if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|byte| *byte != b']') {
                high = *pattern.get(at + 1)?;
                at += 2;
            }
            for byte in low..=high {
                bits[usize::from(byte >> 6)] |= 1 << (byte & 63);
            }
        }
        let bits = if negated {
            bits.map(|word: u64| !word)
        } else {
            bits
        };
        Some((Self(bits), at + 1))
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }
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
