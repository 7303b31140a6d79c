//! What a guest printed on its console.

use std::path::Path;

/// Longest line that is quoted in an error, in characters.
const LONGEST: usize = 300;

/// The last line that says something, with everything that is not printable escaped.
pub(crate) fn last_line(folder: &Path) -> Option<String> {
    let log = vmm::console_log(folder).ok()?;
    let text = String::from_utf8_lossy(&log);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(LONGEST).flat_map(escape).collect())
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
}
