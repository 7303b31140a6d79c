//! Texts that a guest chooses: cut where they are read, so that nothing behind keeps, logs or prints more of them.

use serde::{Deserialize, Deserializer};

/// Most bytes of a name, a version, a state.
pub(crate) const WORD: usize = 128;

/// Most bytes of a line for a person: a path and some words.
pub(crate) const LINE: usize = 1 << 10;

/// A name.
pub(crate) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| cut(text, WORD))
}

/// A name that may be missing, or a path.
pub(crate) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer).map(|text: Option<String>| text.map(|text| cut(text, LINE)))
}

/// A line for a person.
pub(crate) fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| cut(text, LINE))
}

/// Lines for a person; no more of them than are ever sent.
pub(crate) fn lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    /// As many as `archive` keeps of its warnings, and some.
    const LINES: usize = 32;
    let lines: Vec<String> = Vec::deserialize(deserializer)?;
    Ok(lines
        .into_iter()
        .take(LINES)
        .map(|text| cut(text, LINE))
        .collect())
}

/// The beginning of a text; a sign of its own where that is not all of it.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Written;
    use crate::{Health, Problem, Process};

    #[test]
    fn what_a_guest_says_is_cut_between_characters() {
        assert_eq!(cut("é".repeat(10), 5), "éé…");
        assert_eq!(cut("abcde".to_owned(), 5), "abcde");
    }

    #[test]
    fn no_text_of_a_guest_is_longer_than_what_is_kept_of_it() {
        let long = "A".repeat(900_000);
        let health = serde_json::json!({
            "generation": 1, "version": long, "boot_id": long, "uptime_ms": 1, "configured": true,
        });
        let health: Health = serde_json::from_value(health).unwrap();
        assert!(health.version.len() < 200 && health.boot_id.len() < 200);
        let problem = serde_json::json!({ "code": "internal", "message": long });
        let problem: Problem = serde_json::from_value(problem).unwrap();
        assert!(problem.message.len() < 2000);
        let process: Process = serde_json::from_value(serde_json::json!({ "pid": 1, "name": long })).unwrap();
        assert!(process.name.len() < 200);
        let written = serde_json::json!({
            "entries": 1, "bytes": 1, "warnings": vec![long; 100], "more_warnings": u64::MAX,
        });
        let written: Written = serde_json::from_value(written).unwrap();
        assert!(written.warnings.iter().map(String::len).sum::<usize>() < 50_000);
    }
}
