//! What a guest printed on its console.

use std::path::Path;

/// Longest line that is quoted in an error, in characters.
const LONGEST: usize = 300;

/// Most lines that are quoted beside an error.
const LINES: usize = 5;

/// So many lines from the end the agent's word is looked for: the kernel says a few more while the machine goes off.
const NEAR_THE_END: usize = 40;

/// How the agent's own words begin, as `/init` and afterwards.
const OF_THE_AGENT: [&str; 2] = ["banger: ", "banger-vsock-agent: "];

/// Why a guest did not come up, as far as its console tells: the agent's own last word, else the last line that says
/// something. With everything that is not printable escaped.
pub(crate) fn cause(folder: &Path) -> Option<String> {
    let lines = last(folder, NEAR_THE_END);
    let word = lines.iter().rev().find_map(|line| of_the_agent(line));
    match word {
        Some(word) => Some(format!("its agent says: {word}")),
        None => Some(format!("its console ends with: {}", lines.last()?)),
    }
}

/// What the agent says in a line of its own. Its notes of what does not end it go through the kernel's log, which puts
/// the time before them; its last word there is under its program's name.
fn of_the_agent(line: &str) -> Option<&str> {
    let [as_init, by_name] = OF_THE_AGENT;
    if let Some(word) = line.strip_prefix(as_init) {
        return Some(word);
    }
    let logged = line.strip_prefix('[').and_then(|line| line.split_once(']'));
    let text = logged.map_or(line, |(_, text)| text.trim_start());
    text.strip_prefix(by_name)
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
        assert_eq!(
            cause(folder.path()).unwrap(),
            "its console ends with: line 19\\u{7}"
        );
    }

    #[test]
    fn the_agents_own_last_word_comes_before_what_the_kernel_says_after_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(cause(folder.path()), None);
        for (log, expected) in [
            (
                "[ 0.9] erofs: mounted\r\nbanger: cannot mount the writable layer: I/O error\r\n[ 1.0] ACPI: PM: Preparing to \
                 enter system sleep state S5\r\n[ 1.1] reboot: Power down\r\n",
                "its agent says: cannot mount the writable layer: I/O error",
            ),
            (
                "[ 3.5] banger-vsock-agent: cannot listen: no device\n[ 4.0] systemd[1]: Reached target\n",
                "its agent says: cannot listen: no device",
            ),
            // A note of something that does not end it.
            (
                "[ 1.5] banger: cannot keep logins off the consoles: no room\n[ 9.0] Kernel panic - not syncing: oops\n",
                "its console ends with: [ 9.0] Kernel panic - not syncing: oops",
            ),
            ("somebody says: banger: no\nlast\n", "its console ends with: last"),
            ("banger: a\u{1b}[2Jb\n", "its agent says: a\\u{1b}[2Jb"),
        ] {
            std::fs::write(folder.path().join("console.log"), log).unwrap();
            assert_eq!(cause(folder.path()).unwrap(), expected, "{log}");
        }
    }
}
