//! The two formats of apt's sources, as sources.list(5) describes them. What apt would refuse is left out.

use super::sources::is_plain_word;

/// What one entry says, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub uris: Vec<String>,
    pub suites: Vec<String>,
    pub components: Vec<String>,
    pub signed_by: Option<String>,
    pub check_valid_until: Option<String>,
}

/// The entries for binary packages in a file of either format.
pub(super) fn parse_file(text: &str, deb822: bool) -> Vec<Entry> {
    let entries: Vec<Entry> = if deb822 {
        stanzas(text).iter().filter_map(stanza).collect()
    } else {
        text.lines().filter_map(line).collect()
    };
    entries.into_iter().filter(Entry::is_usable).collect()
}

impl Entry {
    fn is_usable(&self) -> bool {
        let words = || {
            self.uris
                .iter()
                .chain(&self.suites)
                .chain(&self.components)
                .chain(&self.check_valid_until)
        };
        let signed_by = self.signed_by.as_deref().unwrap_or_default();
        words().all(|word| is_plain_word(word))
            && self.uris.iter().all(|uri| !uri.starts_with("cdrom:"))
            && signed_by.chars().all(|c| c == '\n' || !c.is_control())
    }
}

/// `deb [option=value …] uri suite component…`
fn line(line: &str) -> Option<Entry> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let mut rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let mut entry = Entry::default();
    if let Some(options) = rest.strip_prefix('[') {
        let (options, after) = options.split_once(']')?;
        rest = after;
        for option in options.split_whitespace() {
            let (key, value) = option.split_once('=')?;
            entry.option(key, value.trim_matches('"'));
        }
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    entry.uris.extend(words.next());
    entry.suites.extend(words.next());
    entry.components = words.collect();
    Some(entry)
}

type Stanza = Vec<(String, String)>;

/// Fields of each stanza; further lines of a value are joined by line ends.
fn stanzas(text: &str) -> Vec<Stanza> {
    let mut all = vec![Stanza::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            all.push(Stanza::new());
            continue;
        }
        let Some(stanza) = all.last_mut() else { continue };
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            stanza.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    all
}

fn stanza(fields: &Stanza) -> Option<Entry> {
    let words = |wanted: &str| -> Vec<String> {
        let value = fields
            .iter()
            .find(|(key, _)| key == wanted)
            .map_or("", |(_, value)| value);
        value.split_whitespace().map(str::to_owned).collect()
    };
    let enabled = words("enabled")
        .first()
        .is_none_or(|word| !["no", "false", "off", "0"].contains(&word.as_str()));
    if !enabled || !words("types").contains(&"deb".to_owned()) {
        return None;
    }
    let mut entry = Entry {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        ..Entry::default()
    };
    for (key, value) in fields {
        entry.option(key, value);
    }
    Some(entry)
}

impl Entry {
    fn option(&mut self, key: &str, value: &str) {
        match key.to_ascii_lowercase().as_str() {
            "signed-by" => self.signed_by = Some(value.to_owned()).filter(|value| !value.trim().is_empty()),
            "check-valid-until" => self.check_valid_until = Some(value.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn short(text: &str, deb822: bool) -> Vec<String> {
        let entries = parse_file(text, deb822);
        entries
            .iter()
            .map(|e| {
                format!(
                    "{}|{}|{}",
                    e.uris.join(" "),
                    e.suites.join(" "),
                    e.components.join(" ")
                )
            })
            .collect()
    }

    #[test]
    fn one_line_entries_are_read_with_their_options() {
        for (text, wanted) in [
            ("deb http://a/ s main contrib", "http://a/|s|main contrib"),
            ("deb\thttp://a/\ts\tmain # x", "http://a/|s|main"),
            (
                "  deb [arch=amd64 trusted=yes] http://a/ s main",
                "http://a/|s|main",
            ),
            ("deb http://a/ ./", "http://a/|./|"),
        ] {
            assert_eq!(short(text, false), [wanted], "{text:?}");
        }
        for text in [
            "",
            "# deb http://a/ s main",
            "deb-src http://a/ s main",
            "debhttp://a/ s main",
            "deb [x http://a/ s main",
            "deb cdrom:[x]/ s main",
        ] {
            assert_eq!(short(text, false), [""; 0], "{text:?}");
        }
        let entry = &parse_file(
            "deb [ signed-by=/k check-valid-until=no ] http://a/ s main",
            false,
        )[0];
        assert_eq!(
            (entry.signed_by.as_deref(), entry.check_valid_until.as_deref()),
            (Some("/k"), Some("no"))
        );
    }

    #[test]
    fn stanzas_are_read_and_disabled_ones_left_out() {
        for (text, wanted) in [
            (
                "Types: deb\nURIs: http://a/ http://b/\nSuites: s t\nComponents: main\n",
                "http://a/ http://b/|s t|main",
            ),
            (
                "types:deb\n# x\nuris:http://a/\nsuites:s\ncomponents:\n main\n contrib",
                "http://a/|s|main contrib",
            ),
            (
                "Types: deb\nEnabled: yes\nURIs: http://a/\nSuites: s\nComponents: main",
                "http://a/|s|main",
            ),
        ] {
            assert_eq!(short(text, true), [wanted], "{text:?}");
        }
        for text in [
            "",
            "Types: deb-src\nURIs: http://a/\nSuites: s\n",
            "Enabled: no\nTypes: deb\nURIs: http://a/\nSuites: s\n",
            " odd\nno field\n",
            "Types: deb\nURIs: http://\"a/\nSuites: s\n",
        ] {
            assert_eq!(short(text, true), [""; 0], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), deb822 in any::<bool>()) {
            for entry in parse_file(&text, deb822) {
                prop_assert!(entry.uris.iter().all(|uri| is_plain_word(uri)));
            }
        }

        #[test]
        fn no_near_miss_makes_it_panic(text in "((deb|Types:|URIs:|Signed-By:| |\\[|\\]|=|#|:|\\n|a){0,40})", deb822 in any::<bool>()) {
            let _ = parse_file(&text, deb822);
        }
    }
}
