//! Lines of foreign logs, made fit to be shown.

/// Longest text that is quoted, in characters before escaping.
const LONGEST: usize = 600;

/// The last `count` lines that say something, joined, with what is not printable escaped.
pub(crate) fn last_lines(log: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(log);
    let mut lines: Vec<_> = text
        .lines()
        .rev()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(count)
        .collect();
    lines.reverse();
    let mut told = String::new();
    for character in lines.join("; ").chars().take(LONGEST) {
        if character.is_control() {
            told.extend(character.escape_default());
        } else {
            told.push(character);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_lines_are_joined_and_empty_ones_left_out() {
        assert_eq!(last_lines(b"a\nb\n\n  c  \r\n\n", 2), "b; c");
        assert_eq!(last_lines(b"\n \n", 2), "");
    }

    proptest! {
        #[test]
        fn no_log_can_steer_a_terminal(log: Vec<u8>, count in 0_usize..5) {
            let told = last_lines(&log, count);
            prop_assert!(!told.chars().any(char::is_control));
            prop_assert!(told.chars().count() <= LONGEST * 10);
        }
    }
}
