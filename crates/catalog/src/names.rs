//! Names of images, kernels and recipes.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A name: 1 to 63 of `[a-z0-9.-]`, beginning and ending with a letter or digit. Safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtefactName(String);

/// The text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name of 1 to 63 letters a to z, digits, dots and dashes that begins and ends with a letter or digit"
)]
pub struct NameError(String);

impl ArtefactName {
    /// Parses a name; nothing is normalised.
    ///
    /// # Errors
    /// [`NameError`] if it breaks the rule.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
        let inside = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        let good = text.len() <= 63
            && edge(text.bytes().next())
            && edge(text.bytes().last())
            && text.bytes().all(inside)
            && !text.contains("..");
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(80).collect()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtefactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ArtefactName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names_and_nothing_else() {
        for good in ["a", "debian-minimal", "alpine-3.20", "6.1"] {
            assert_eq!(ArtefactName::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            "-a",
            "a-",
            "A",
            "a/b",
            "a b",
            "a\n",
            "é",
            long.as_str(),
        ] {
            assert!(ArtefactName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
