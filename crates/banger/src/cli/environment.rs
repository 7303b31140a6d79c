//! `--env` and `--env-file`: variables for commands in a guest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::render::one_line;

/// Largest environment file; keeps a wrong path (a disk image, a device) from being read into memory.
const LARGEST_FILE: u64 = 1 << 20;

/// Variables from files and from the command line.
#[derive(Debug, Default, Args)]
pub struct EnvironmentArgs {
    /// Read variables from a file: K=V lines, `#` comments, no quoting.
    ///
    /// A line `K` alone takes the variable from your own environment. May be given several times; later files win.
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Set a variable; `K` alone takes it from your own environment.
    ///
    /// May be given several times, and wins over --env-file.
    #[arg(short, long, value_name = "K=V")]
    pub env: Vec<String>,
}

impl EnvironmentArgs {
    /// The variables. `own` gives the caller's; one that it does not have is left out.
    ///
    /// # Errors
    /// A file that cannot be read, or a name or value that no environment can hold.
    pub fn resolve(
        &self,
        own: impl Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let mut variables = BTreeMap::new();
        for path in &self.env_file {
            let text = read(path).map_err(|why| {
                Failure::new(format!(
                    "cannot read the environment file {}: {why}",
                    path.display()
                ))
            })?;
            // Editors of some systems begin a file with it.
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            for (index, line) in text.lines().enumerate() {
                let line = line.strip_suffix('\r').unwrap_or(line);
                if line.trim_start().is_empty() || line.trim_start().starts_with('#') {
                    continue;
                }
                add(line.trim_start(), &own, &mut variables)
                    .map_err(|why| Failure::usage(format!("{}:{}: {why}", path.display(), index + 1)))?;
            }
        }
        for variable in &self.env {
            add(variable, &own, &mut variables).map_err(|why| Failure::usage(format!("--env: {why}")))?;
        }
        Ok(variables)
    }
}

fn add(
    text: &str,
    own: impl Fn(&str) -> Option<std::ffi::OsString>,
    variables: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    // What shows nothing or turns the direction of text makes another variable of one that looks the same.
    let shown = one_line(name);
    if name.is_empty() || shown != name || name.contains(char::is_whitespace) {
        // Without the value, which may be a secret.
        return Err(format!(
            "\"{shown}\" is no variable's name: write NAME=VALUE, or NAME to take your own"
        ));
    }
    if value.as_ref().is_some_and(|value| value.contains('\0')) {
        return Err(format!("the value of \"{name}\" holds a zero byte"));
    }
    let value = match value {
        Some(value) => value,
        None => match own(name) {
            Some(value) => value
                .into_string()
                .map_err(|_| format!("the value of your own \"{name}\" is not UTF-8"))?,
            None => return Ok(()),
        },
    };
    variables.insert(name.to_owned(), value);
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err("it is larger than 1 MiB".into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8 text")
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn resolve(file: Option<&str>, env: &[&str]) -> Result<Vec<(String, String)>, String> {
        let file = file.map(|text| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        });
        let arguments = EnvironmentArgs {
            env_file: file.iter().map(|file| file.path().to_owned()).collect(),
            env: env.iter().map(|text| (*text).to_owned()).collect(),
        };
        arguments
            .resolve(|name| (name == "OWN").then(|| "mine".into()))
            .map(|variables| variables.into_iter().collect())
            .map_err(|failure| failure.message().to_owned())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_name_alone_takes_the_callers_value_and_an_unset_one_is_left_out() {
        let found = resolve(None, &["A=1", "B=x=y", "C=", "OWN", "NOT_SET"]).unwrap();
        assert_eq!(
            found,
            pairs(&[("A", "1"), ("B", "x=y"), ("C", ""), ("OWN", "mine")])
        );
    }

    #[test]
    fn a_file_has_comments_and_no_quoting_and_the_command_line_wins() {
        let found = resolve(Some("# c\n\nA=1\r\n  B=\"q\" # no comment\nOWN\n"), &["A=2"]).unwrap();
        assert_eq!(
            found,
            pairs(&[("A", "2"), ("B", "\"q\" # no comment"), ("OWN", "mine")])
        );
    }

    #[test]
    fn what_is_no_variable_is_refused_with_its_place() {
        let refused = |file: Option<&str>, env: &[&str]| resolve(file, env).unwrap_err();
        assert!(refused(None, &["=x"]).starts_with("--env: \"\" is no variable's name"));
        assert!(refused(None, &["A B=x"]).contains("\"A B\" is no variable's name"));
        assert!(refused(Some("A=1\n=2\n"), &[]).contains(":2: \"\" is no variable's name"));
        let secret = refused(Some("export TOKEN=secret\n"), &[]);
        assert!(
            secret.contains("export TOKEN") && !secret.contains("secret"),
            "{secret}"
        );
    }

    #[test]
    fn a_name_that_does_not_show_what_it_is_is_refused_and_spelt_out() {
        for (odd, spelt) in [
            ("TO\u{200b}KEN", "TO\\u{200b}KEN"),
            ("\u{202e}TOKEN", "\\u{202e}TOKEN"),
            ("TOKEN\u{2066}", "TOKEN\\u{2066}"),
            ("TOKEN\u{115f}", "TOKEN\\u{115f}"),
            ("\u{feff}TOKEN", "\\u{feff}TOKEN"),
            ("TO\u{1b}[2JKEN", "TO\\x1b[2JKEN"),
        ] {
            let line = format!("{odd}=secret");
            let refused = resolve(Some(&format!("A=1\n{line}\n")), &[]).unwrap_err();
            let expected = format!(":2: \"{spelt}\" is no variable's name: ");
            assert!(
                refused.contains(&expected) && !refused.contains("secret"),
                "{refused}"
            );
            let refused = resolve(None, &[&line]).unwrap_err();
            assert!(
                refused.starts_with(&format!("--env: \"{spelt}\" is no variable's name")),
                "{refused}"
            );
        }
        // Letters of any script are what they look like.
        let plain = resolve(Some("\u{dc}ber=1\n"), &[]).unwrap();
        assert_eq!(plain, pairs(&[("\u{dc}ber", "1")]));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_with_their_line() {
        for (bytes, line) in [
            (&b"A=1\nB=caf\xe9\n"[..], 2),
            (b"\xff\xfeA\x00=\x001\x00", 1),
            (b"\n\n\xc3", 3),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let arguments = EnvironmentArgs {
                env_file: vec![file.path().to_owned()],
                env: Vec::new(),
            };
            let failure = arguments.resolve(|_| None).unwrap_err();
            let expected = format!("{}: line {line} is not UTF-8 text", file.path().display());
            assert!(failure.message().ends_with(&expected), "{}", failure.message());
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_name() {
        assert_eq!(resolve(Some("\u{feff}A=1\n"), &[]).unwrap(), pairs(&[("A", "1")]));
    }
}
