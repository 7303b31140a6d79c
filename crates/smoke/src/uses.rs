//! Commands and the flags that they were given.

use std::collections::BTreeSet;

/// A verb and flags: `vm run --rm -i`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// `vm run`; empty for `banger` alone.
    pub verb: String,
    /// `--rm`, `-i`.
    pub flags: BTreeSet<String>,
}

impl Use {
    /// Reads what a scenario says.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (flags, verb): (Vec<&str>, Vec<&str>) = text.split(' ').partition(|word| word.starts_with('-'));
        Self {
            verb: verb.join(" "),
            flags: flags.into_iter().map(str::to_owned).collect(),
        }
    }

    /// What of it none of these command lines has done.
    #[must_use]
    pub fn missing_in(&self, lines: &[Vec<String>]) -> Option<String> {
        let verb: Vec<&str> = self.verb.split(' ').filter(|word| !word.is_empty()).collect();
        let mut flags = self.flags.clone();
        let mut used = false;
        for line in lines {
            let words = line
                .iter()
                .map(String::as_str)
                .filter(|word| !word.starts_with('-'));
            if !words.take(verb.len()).eq(verb.iter().copied()) {
                continue;
            }
            used = true;
            for flag in flags_of(line) {
                flags.remove(&flag);
            }
        }
        match (used, flags.first()) {
            (true, None) => None,
            (true, Some(flag)) => Some(format!("`banger {} {flag}`", self.verb)),
            (false, _) => Some(format!("`banger {}`", self.verb)),
        }
    }
}

/// Flags before the first `--`; `-it` is `-i` and `-t`.
fn flags_of(line: &[String]) -> Vec<String> {
    let words = line.iter().take_while(|word| *word != "--");
    let flags = words.filter(|word| word.starts_with('-'));
    flags
        .flat_map(|word| match word.strip_prefix("--") {
            Some(_) => vec![word.split('=').next().unwrap_or_default().to_owned()],
            None => word.chars().skip(1).map(|letter| format!("-{letter}")).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_was_said_and_not_done_is_found() {
        let lines = [line("vm run --rm -it --memory=1G -- ls --all"), line("ps -a")];
        let missing = |text: &str| Use::parse(text).missing_in(&lines);
        assert_eq!(missing("vm run --rm -i -t --memory"), None);
        assert_eq!(missing("ps"), None);
        assert_eq!(
            missing("vm run --all").unwrap(),
            "`banger vm run --all`",
            "that is the command's own"
        );
        assert_eq!(missing("vm stop").unwrap(), "`banger vm stop`");
        assert_eq!(missing("ps -q").unwrap(), "`banger ps -q`");
    }
}
