//! Reads `WWW-Authenticate` (RFC 9110, 11.6.1).

use std::collections::BTreeMap;

/// How a registry wants to be spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The same with another scope; nothing where that is what it asks for, or is of no matter.
    pub(crate) fn with_scope(&self, wanted: &str) -> Option<Self> {
        match self {
            Self::Basic => None,
            Self::Bearer { scope, .. } if scope.as_deref() == Some(wanted) => None,
            Self::Bearer { realm, service, .. } => Some(Self::Bearer {
                realm: realm.clone(),
                service: service.clone(),
                scope: Some(wanted.to_owned()),
            }),
        }
    }
}

/// A scheme with its parameters.
type Raw = (String, BTreeMap<String, String>);

/// The strongest challenge that is understood: Bearer before Basic.
pub(crate) fn parse<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Challenge> {
    let challenges: Vec<Raw> = headers
        .flat_map(|header| Scanner { rest: header }.challenges())
        .collect();
    let bearer = challenges.iter().find_map(|(scheme, parameters)| {
        let realm = parameters.get("realm").filter(|_| scheme == "bearer")?;
        Some(Challenge::Bearer {
            realm: realm.clone(),
            service: parameters.get("service").cloned(),
            // An empty one names nothing.
            scope: parameters
                .get("scope")
                .filter(|scope| !scope.trim().is_empty())
                .cloned(),
        })
    });
    bearer.or_else(|| {
        let basic = challenges.iter().any(|(scheme, _)| scheme == "basic");
        basic.then_some(Challenge::Basic)
    })
}

struct Scanner<'h> {
    rest: &'h str,
}

impl Scanner<'_> {
    /// All challenges up to the first thing that is none.
    fn challenges(mut self) -> Vec<Raw> {
        let mut found: Vec<Raw> = Vec::new();
        loop {
            self.skip(|c| c == ',' || c.is_ascii_whitespace());
            let Some(word) = self.token() else { return found };
            let spaced = self.skip(|c| c.is_ascii_whitespace());
            if self.take('=') {
                let Some(value) = self.value() else { return found };
                let Some((_, parameters)) = found.last_mut() else {
                    return found;
                };
                parameters.insert(word.to_ascii_lowercase(), value);
            } else if spaced || self.rest.is_empty() || self.rest.starts_with(',') {
                found.push((word.to_ascii_lowercase(), BTreeMap::new()));
            } else {
                return found;
            }
        }
    }

    fn token(&mut self) -> Option<String> {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !token(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn value(&mut self) -> Option<String> {
        self.skip(|c| c.is_ascii_whitespace());
        if !self.take('"') {
            return self.token();
        }
        let mut value = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                other => value.push(other),
            }
        }
        None
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) -> bool {
        let rest = self.rest.trim_start_matches(what);
        let skipped = rest.len() < self.rest.len();
        self.rest = rest;
        skipped
    }

    fn take(&mut self, what: char) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (header, challenge) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                ),
            ),
            (
                r#"bearer realm = "https://x/\"t\"" , scope=y"#,
                bearer("https://x/\"t\"", None, Some("y")),
            ),
            (
                r#"Basic realm="x", Bearer realm="https://y""#,
                bearer("https://y", None, None),
            ),
            (
                r#"Bearer realm="https://y",scope=" ""#,
                bearer("https://y", None, None),
            ),
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            (r#"Negotiate, Basic realm="x""#, Some(Challenge::Basic)),
            ("Bearer", None),
            (r#"Bearer realm="open"#, None),
            ("realm=x", None),
            ("", None),
        ] {
            assert_eq!(parse([header].into_iter()), challenge, "{header}");
        }
        let two = ["Basic realm=\"x\"", "Bearer realm=\"https://y\""];
        assert_eq!(parse(two.into_iter()), bearer("https://y", None, None));
    }

    proptest! {
        #[test]
        fn no_header_makes_parsing_panic(header in "[ -~ä]{0,80}") {
            let _ = parse([header.as_str()].into_iter());
        }
    }
}
