//! `banger doctor`: one line a check, and under it how to mend what is not in order.

use api::{Check, CheckState};

use super::one_line;

/// The checks, with or without colours.
pub fn report(checks: &[Check], coloured: bool) -> String {
    let width = checks
        .iter()
        .map(|check| one_line(&check.name).chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let (word, colour) = match check.state {
            CheckState::Pass => ("PASS", "32"),
            CheckState::Warn => ("WARN", "33"),
            CheckState::Fail => ("FAIL", "31"),
        };
        let word = if coloured {
            format!("\x1b[{colour}m{word}\x1b[0m")
        } else {
            word.to_owned()
        };
        text.push_str(&format!(
            "{word} {:width$}  {}\n",
            one_line(&check.name),
            one_line(&check.message)
        ));
        if let Some(hint) = &check.hint {
            text.push_str(&format!("     hint: {}\n", one_line(hint)));
        }
    }
    text
}
