//! Patterns with `*`, `?`, `[…]` and `**`, as git's conditions of includes have them (`gitignore(5)`).

/// Whether all of a text matches a pattern. `*` and `?` do not match a slash, `**` between slashes matches any folders.
pub(super) fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let fold = |bytes: &[u8]| match ignore_case {
        true => bytes.to_ascii_lowercase(),
        false => bytes.to_vec(),
    };
    let (pattern, text) = (fold(pattern), fold(text));
    // For each place in the pattern, whether it is known that the text from some place on does not match.
    let mut failed = vec![false; (pattern.len() + 1) * (text.len() + 1)];
    from(&pattern, 0, &text, 0, &mut failed)
}

fn from(pattern: &[u8], mut at: usize, text: &[u8], mut place: usize, failed: &mut [bool]) -> bool {
    let width = text.len() + 1;
    let begun = at * width + place;
    if failed[begun] {
        return false;
    }
    let found = loop {
        let Some(&byte) = pattern.get(at) else {
            break place == text.len();
        };
        match byte {
            b'*' => {
                let stars = pattern[at..].iter().take_while(|byte| **byte == b'*').count();
                let before = at == 0 || pattern[at - 1] == b'/';
                let after = pattern.get(at + stars);
                let folders = stars == 2 && before && matches!(after, None | Some(b'/'));
                if folders && after.is_some() && from(pattern, at + stars + 1, text, place, failed) {
                    break true;
                }
                let rest =
                    (place..=text.len()).take_while(|&end| folders || !text[place..end].contains(&b'/'));
                break rest
                    .into_iter()
                    .any(|end| from(pattern, at + stars, text, end, failed));
            }
            b'?' if text.get(place).is_some_and(|byte| *byte != b'/') => {}
            b'[' => match class(&pattern[at..], text.get(place).copied()) {
                Some(length) => at += length - 1,
                None => break false,
            },
            b'\\' if at + 1 < pattern.len() => {
                at += 1;
                if text.get(place) != Some(&pattern[at]) {
                    break false;
                }
            }
            byte if text.get(place) == Some(&byte) => {}
            _ => break false,
        }
        at += 1;
        place += 1;
    };
    failed[begun] = !found;
    found
}

/// The length of the class that a pattern begins with, if it has the byte.
fn class(pattern: &[u8], byte: Option<u8>) -> Option<usize> {
    let byte = byte.filter(|byte| *byte != b'/')?;
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = 1 + usize::from(negated);
    let mut at = first;
    let mut found = false;
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
        found |= (low..=high).contains(&byte);
    }
    (found != negated).then_some(at + 1)
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

    proptest! {
        #[test]
        fn no_pattern_makes_it_panic_or_run_for_ever(pattern in "[a*?\\[\\]!\\-/\\\\]{0,40}", text in "[a/]{0,200}") {
            let _ = matches(pattern.as_bytes(), text.as_bytes(), false);
        }
    }
}
