//! What a guest printed on its console.

use std::path::Path;

/// Longest line that is quoted in an error, in characters.
const LONGEST: usize = 300;

/// Most lines that are quoted beside an error.
const LINES: usize = 5;

/// The last line that says something, with everything that is not printable escaped.
pub(crate) fn last_line(folder: &Path) -> Option<String> {
    last(folder, 1).pop()
}

/// The last few of them, the newest at the end.
pub(crate) fn last_lines(folder: &Path) -> Vec<String> {
    last(folder, LINES)
}

fn last(folder: &Path, count: usize) -> Vec<String> {
    let log = vmm::console_log(folder).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    let lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let mut lines: Vec<String> = lines
        .take(count)
        .map(|line| line.chars().take(LONGEST).flat_map(escape).collect())
        .collect();
    lines.reverse();
    lines
}

fn escape(character: char) -> Vec<char> {
    if character.is_control() {
        character.escape_default().collect()
    } else {
        vec![character]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_prints_cannot_steer_a_terminal() {
        let told: String = "a\u{1b}[31mb".chars().flat_map(escape).collect();
        assert_eq!(told, "a\\u{1b}[31mb");
    }

    #[test]
    fn the_last_lines_that_say_something_are_quoted_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(last_lines(folder.path()), Vec::<String>::new());
        let log: String = (0..20)
            .map(|number| format!("\r\n line {number}\u{7} \r\n"))
            .collect();
        std::fs::write(folder.path().join("console.log"), log).unwrap();
        let quoted = last_lines(folder.path());
        assert_eq!(quoted.len(), LINES);
        assert_eq!(
            (quoted[0].as_str(), quoted[4].as_str()),
            ("line 15\\u{7}", "line 19\\u{7}")
        );
        assert_eq!(last_line(folder.path()).as_ref(), quoted.last());
    }
}
