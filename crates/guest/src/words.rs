//! A command's words, which are bytes: JSON has text alone, so those that are no UTF-8 go in hex.

use std::fmt::Write;

use crate::Exec;

impl Exec {
    /// Gives it its program and arguments.
    pub fn set_words(&mut self, words: &[Vec<u8>]) {
        let texts: Result<Vec<String>, _> = words
            .iter()
            .map(|word| std::str::from_utf8(word).map(str::to_owned))
            .collect();
        match texts {
            Ok(texts) => (self.argv, self.argv_hex) = (texts, None),
            Err(_) => {
                self.argv = Vec::new();
                self.argv_hex = Some(words.iter().map(|word| hex(word)).collect());
            }
        }
    }

    /// Its program and arguments; none for a login shell.
    ///
    /// # Errors
    /// They are given twice, or in no hex.
    pub fn words(&self) -> Result<Vec<Vec<u8>>, NoWords> {
        match &self.argv_hex {
            None => Ok(self.argv.iter().map(|word| word.as_bytes().to_vec()).collect()),
            Some(_) if !self.argv.is_empty() => Err(NoWords),
            Some(words) => words.iter().map(|word| bytes(word).ok_or(NoWords)).collect(),
        }
    }

    /// Whether it is a login shell.
    #[must_use]
    pub fn is_shell(&self) -> bool {
        self.argv.is_empty() && self.argv_hex.as_ref().is_none_or(Vec::is_empty)
    }
}

/// A command's words cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`argv_hex` stands in the place of `argv`, each word in pairs of hex digits")]
pub struct NoWords;

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let pair = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(pair).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_bytes_arrive_and_plain_ones_go_as_text() {
        for words in [
            &[&b"echo"[..], b"a b", b""][..],
            &[b"printf", b"caf\xe9", b"\xff\xfe"],
            &[b"\x80"],
            &[],
        ] {
            let mut exec = Exec::default();
            exec.set_words(&words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
            assert_eq!(exec.argv_hex.is_none(), words.iter().all(|word| word.is_ascii()));
            let sent = serde_json::to_string(&exec).unwrap();
            let arrived: Exec = serde_json::from_str(&sent).unwrap();
            assert_eq!(arrived.words().unwrap(), words, "{sent}");
            assert_eq!(arrived.is_shell(), words.is_empty());
        }
    }

    #[test]
    fn what_is_no_hex_or_given_twice_is_refused() {
        for (argv, hex) in [
            (&["true"][..], &["74"][..]),
            (&[], &["7"]),
            (&[], &["zz"]),
            (&[], &["7\u{e9}"]),
            (&[], &["+1"]),
        ] {
            let exec = Exec {
                argv: argv.iter().map(ToString::to_string).collect(),
                argv_hex: Some(hex.iter().map(ToString::to_string).collect()),
                ..Exec::default()
            };
            assert_eq!(exec.words(), Err(NoWords), "{argv:?} {hex:?}");
        }
    }
}
