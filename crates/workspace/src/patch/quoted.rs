//! Paths as git writes them in a patch: as they are, or in quotes with C's escapes.

/// Reads a path that ends at the end of the text, or before a tab that git puts after names with spaces.
pub(super) fn path(text: &[u8]) -> Option<Vec<u8>> {
    if text.first() == Some(&b'"') {
        let (path, rest) = quoted(text)?;
        return matches!(rest, b"" | b"\t").then_some(path);
    }
    let text = text.strip_suffix(b"\t").unwrap_or(text);
    (!text.is_empty()).then(|| text.to_vec())
}

/// Reads a quoted path at the beginning of the text. Gives what comes after it too.
pub(super) fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut path = Vec::new();
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((path, rest)),
            b'\\' => {
                let (&letter, after) = rest.split_first()?;
                rest = after;
                path.push(match letter {
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    b'"' | b'\\' => letter,
                    b'0'..=b'3' => {
                        let (digits, after) = rest.split_first_chunk::<2>()?;
                        rest = after;
                        let octal = |digit: u8| matches!(digit, b'0'..=b'7').then(|| digit - b'0');
                        (letter - b'0') * 64 + octal(digits[0])? * 8 + octal(digits[1])?
                    }
                    _ => return None,
                });
            }
            byte => path.push(byte),
        }
    }
}

/// The one path of `a/PATH b/PATH`, which are the same since there are no renames.
pub(super) fn both(text: &[u8]) -> Option<Vec<u8>> {
    if text.first() == Some(&b'"') {
        let (first, rest) = quoted(text)?;
        let (second, rest) = quoted(rest.strip_prefix(b" ")?)?;
        let same = first.strip_prefix(b"a/")? == second.strip_prefix(b"b/")?;
        return (same && rest.is_empty()).then(|| first[2..].to_vec());
    }
    // `a/` + path + ` b/` + path
    let length = text.len().checked_sub(5)? / 2;
    let (first, second) = text.split_at_checked(2 + length)?;
    let (first, second) = (first.strip_prefix(b"a/")?, second.strip_prefix(b" b/")?);
    (first == second && !first.is_empty()).then(|| first.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_and_quoted_paths_are_read() {
        assert_eq!(both(b"a/x b/x").unwrap(), b"x");
        assert_eq!(both(b"a/x b/x b/x b/x").unwrap(), b"x b/x");
        assert_eq!(
            both(br#""a/\303\244\n" "b/\303\244\n""#).unwrap(),
            "ä\n".as_bytes()
        );
        for bad in [
            &b"a/x b/y"[..],
            b"a/ b/",
            b"x x",
            br#""a/x" b/x"#,
            br#""a/x" "b/y""#,
            br#""a/x"#,
            br#""a/\9" "b/\9""#,
        ] {
            assert_eq!(both(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            let _ = (path(&text), both(&text), quoted(&text));
        }
    }
}
