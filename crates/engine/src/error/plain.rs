//! Text of another program's on one line.

/// Most characters of a text that may be another program's.
const LONGEST: usize = 8 << 10;

/// Text on one line, as it may be shown on a terminal: what a program on the host, a guest or a registry says stands in
/// messages. Whatever could steer the terminal or turn the direction of text is spelt out, and too much is cut.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST));
    for (count, character) in text.chars().enumerate() {
        match character {
            _ if count == LONGEST => {
                line.push('…');
                break;
            }
            '\n' | '\r' | '\t' => line.push(' '),
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                line.extend(character.escape_default());
            }
            character if character.is_control() => line.extend(character.escape_default()),
            character => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use crate::EngineError;

    #[test]
    fn what_a_program_says_neither_steers_a_terminal_nor_fills_it() {
        let said = "\u{1b}]0;title\u{7}a\nb\tc \u{202e}d\u{9b}31m ä";
        let error = EngineError::Artefact {
            action: "build",
            kind: "image",
            name: "x\u{1b}[2J".into(),
            source: said.into(),
            hint: Some(said.into()),
        };
        let told = error.to_api();
        let safe = "\\u{1b}]0;title\\u{7}a b c \\u{202e}d\\u{9b}31m ä";
        assert_eq!(
            told.message,
            format!("cannot build image `x\\u{{1b}}[2J`: {safe}")
        );
        assert_eq!(told.hint.unwrap(), safe);
        let endless = EngineError::Internal("a\u{7}".repeat(1 << 20));
        assert!(endless.to_api().message.len() < 64 << 10);
    }
}
