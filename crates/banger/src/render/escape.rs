//! Text from a guest or a daemon, made harmless for a terminal.

use std::fmt::Write;

/// Whether a terminal, or a reader's eye, could be misled by this character: control characters of both ranges, those
/// that change the direction of text (Unicode TR 9), ends of lines and notes between them, and those that show nothing, by
/// which two names look the same ([`SHOW_NOTHING`]).
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
        || SHOW_NOTHING
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&c))
}

/// Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties), what is not assigned yet included.
const SHOW_NOTHING: [(char, char); 17] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

fn push_escaped(c: char, text: &mut String) {
    match c {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        c if u32::from(c) < 0x100 => {
            let _ = write!(text, "\\x{:02x}", u32::from(c));
        }
        c => {
            let _ = write!(text, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

/// The text as one line: whatever could end the line or steer the terminal is spelt out.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_dangerous(c) {
            push_escaped(c, &mut line);
        } else {
            line.push(c);
        }
    }
    line
}

/// JSON text whose strings hold nothing dangerous: the same JSON, since such characters stand only inside strings,
/// where `\uXXXX` means the same. Line ends between values stay.
pub fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_dangerous(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A filter for a guest's console on the way to a terminal, piece by piece: lines and tabs stay, colours and cursor
/// movements (ECMA-48 control sequences) are dropped, everything else that is dangerous is spelt out.
#[derive(Debug, Default)]
pub struct TerminalFilter {
    state: State,
    /// The beginning of a character whose other bytes have not come yet.
    partial: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// After an escape.
    Escape,
    /// In a control sequence, which ends with a byte of 0x40 to 0x7e.
    Sequence,
}

impl TerminalFilter {
    /// What of these bytes is shown.
    pub fn filter(&mut self, bytes: &[u8]) -> String {
        self.partial.extend_from_slice(bytes);
        let mut shown = String::new();
        let pending = std::mem::take(&mut self.partial);
        let mut rest = pending.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.text(text, &mut shown);
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    self.text(std::str::from_utf8(valid).unwrap_or_default(), &mut shown);
                    match error.error_len() {
                        Some(length) => {
                            self.text("\u{fffd}", &mut shown);
                            rest = &after[length..];
                        }
                        None => {
                            self.partial = after.to_vec();
                            break;
                        }
                    }
                }
            }
        }
        shown
    }

    fn text(&mut self, text: &str, shown: &mut String) {
        for c in text.chars() {
            self.state = match (&self.state, c) {
                (State::Text | State::Escape, '\u{1b}') => State::Escape,
                (State::Escape, '[') => State::Sequence,
                (State::Escape, _) => {
                    shown.push_str("\\x1b");
                    Self::push(c, shown);
                    State::Text
                }
                // A sequence's parameters; anything else in it means that it is none, or a broken one.
                (State::Sequence, '\u{20}'..='\u{3f}') => State::Sequence,
                (State::Sequence, '\u{40}'..='\u{7e}') => State::Text,
                (State::Text | State::Sequence, c) => {
                    Self::push(c, shown);
                    State::Text
                }
            };
        }
    }

    fn push(c: char, shown: &mut String) {
        match c {
            '\n' | '\t' => shown.push(c),
            // Serial consoles end lines with both.
            '\r' => {}
            c if is_dangerous(c) => push_escaped(c, shown),
            c => shown.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_stays_one_line_and_steers_nothing() {
        assert_eq!(
            one_line("a\nb\x1b[2Jc\u{9b}d\u{202e}e\x7f é"),
            r"a\nb\x1b[2Jc\x9bd\u{202e}e\x7f é"
        );
        assert_eq!(
            one_line("a\u{200b}\u{feff}\u{ad}\u{e0041}\u{2060}"),
            r"a\u{200b}\u{feff}\xad\u{e0041}\u{2060}"
        );
        // Fillers, joiners, variants: wherever in Unicode what shows nothing is.
        for c in "\u{34f}\u{115f}\u{17b4}\u{180b}\u{180f}\u{3164}\u{fe0f}\u{ffa0}\u{fff0}\u{1bca0}\u{1d173}\u{e0100}".chars() {
            assert_eq!(one_line(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
    }

    #[test]
    fn json_means_the_same_after_escaping() {
        let value = serde_json::json!({ "a": "x\u{9b}31m\u{7f}\u{202e}\u{e0041}\n" });
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.chars().any(|c| c != '\n' && is_dangerous(c)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_console_keeps_its_lines_and_loses_its_colours() {
        let mut filter = TerminalFilter::default();
        let console = b"[\x1b[0;32m  OK  \x1b[0m] Started \xe2\x80\xa6\r\n\ttitle \x1b]0;x\x07 \xff\n";
        let whole = filter.filter(console);
        assert_eq!(whole, "[  OK  ] Started …\n\ttitle \\x1b]0;x\\x07 \u{fffd}\n");
        let mut filter = TerminalFilter::default();
        let pieces: String = console.iter().map(|byte| filter.filter(&[*byte])).collect();
        assert_eq!(pieces, whole);
    }

    proptest! {
        #[test]
        fn nothing_dangerous_passes(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".*") {
            let shown = TerminalFilter::default().filter(&bytes);
            prop_assert!(!shown.chars().any(|c| is_dangerous(c) && c != '\n' && c != '\t'));
            prop_assert!(!one_line(&text).chars().any(is_dangerous));
        }
    }
}
