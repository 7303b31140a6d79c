//! The words after `vm ssh REF`.
//!
//! They are ssh's: options, and a command, whose words ssh joins with spaces for the guest's shell to take apart. A
//! command after `--` is meant as it stands instead, so its words are quoted for that shell, each on its own.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Options of ssh(1) that take a value.
const WITH_VALUE: &[u8] = b"BbcDEeFIiJLlmOoPpQRSWw";

/// The words as ssh is to get them.
pub fn quote_command(words: Vec<OsString>) -> Vec<OsString> {
    let Some(at) = end_of_options(&words) else {
        return words;
    };
    let quoted = |(index, word): (usize, OsString)| if index > at { quote(&word) } else { word };
    words.into_iter().enumerate().map(quoted).collect()
}

/// Where the `--` stands that ends ssh's options, if there is one before a command begins.
fn end_of_options(words: &[OsString]) -> Option<usize> {
    let mut words = words.iter().map(|word| word.as_bytes()).enumerate();
    while let Some((index, word)) = words.next() {
        let flags = match word {
            b"--" => return Some(index),
            [b'-', flags @ ..] if !flags.is_empty() => flags,
            _ => return None,
        };
        let value = flags.iter().position(|flag| WITH_VALUE.contains(flag));
        if value == Some(flags.len() - 1) {
            words.next();
        }
    }
    None
}

/// One word of a POSIX shell, whatever is in it.
pub fn quote(word: &OsStr) -> OsString {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(byte);
    let bytes = word.as_bytes();
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return word.to_owned();
    }
    let mut quoted = vec![b'\''];
    for byte in bytes {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn ssh_gets(words: &[&str]) -> Vec<String> {
        quote_command(words.iter().map(OsString::from).collect())
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn only_a_command_after_the_end_of_options_is_quoted() {
        let untouched: [&[&str]; 7] = [
            &[],
            &["ls -l | wc -l"],
            &["ls", "a b"],
            &["-L", "8080:localhost:80", "-N"],
            // These belong to the command in the guest, or to an option.
            &["grep", "--", "-x y"],
            &["-o", "--", "ls", "a b"],
            &["-vo", "--", "ls", "a b"],
        ];
        for words in untouched {
            assert_eq!(ssh_gets(words), words);
        }
        assert_eq!(
            ssh_gets(&["--", "echo", "a b", ""]),
            ["--", "echo", "'a b'", "''"]
        );
        assert_eq!(
            ssh_gets(&["-t", "-oA=b", "-p", "1", "--", "it's"]),
            ["-t", "-oA=b", "-p", "1", "--", "'it'\\''s'"]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_shell_takes_a_quoted_word_for_what_it_was(bytes in proptest::collection::vec(1u8.., 0..40)) {
            let word = OsString::from_vec(bytes);
            let mut script = OsString::from("printf %s ");
            script.push(quote(&word));
            let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
            prop_assert_eq!(output.stdout, word.as_bytes());
        }
    }
}
