//! git's settings, as what a repository of unknown origin says may count: read here, never by git itself, and handed to
//! git as a file that holds the harmless ones alone.
//!
//! ```text
//!  <repository>/config ─► parse ─► what is on the list ─► a file of ours ─► git
//!  ~/.gitconfig, /etc ──► git, in an empty folder ─► what is on the list, filters ─► a file of ours ─┘
//! ```
//!
//! Keys are bytes: a name that is no text is still the name that git compares.

mod class;
mod condition;
mod harmless;
mod parse;
mod read;
mod user;
mod wildmatch;

pub(crate) use condition::About;
pub(crate) use harmless::{check_extensions, of_repository, of_user};
pub(crate) use read::{Reader, settings_of};
pub(crate) use user::{User, all_of_user};

/// One setting, as git prints it: `section.name` or `section.subsection.name`, section and name in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) section: Vec<u8>,
    pub(crate) subsection: Option<Vec<u8>>,
    pub(crate) name: Vec<u8>,
    /// None where there is a name alone, which means "true".
    pub(crate) value: Option<Vec<u8>>,
}

impl Setting {
    /// From a key as git prints it.
    pub(crate) fn of_key(key: &[u8], value: Option<Vec<u8>>) -> Option<Self> {
        let first = key.iter().position(|byte| *byte == b'.')?;
        let last = key.iter().rposition(|byte| *byte == b'.')?;
        Some(Self {
            section: key[..first].to_ascii_lowercase(),
            subsection: (first < last).then(|| key[first + 1..last].to_vec()),
            name: key[last + 1..].to_ascii_lowercase(),
            value,
        })
    }

    /// Whether it is `section.name`, without a subsection.
    pub(crate) fn is(&self, section: &str, name: &str) -> bool {
        self.subsection.is_none() && self.section == section.as_bytes() && self.name == name.as_bytes()
    }

    /// Adds it to the text of a file.
    fn write(&self, text: &mut Vec<u8>) {
        text.push(b'[');
        text.extend_from_slice(&self.section);
        if let Some(subsection) = &self.subsection {
            text.extend_from_slice(b" \"");
            for &byte in subsection {
                if matches!(byte, b'"' | b'\\') {
                    text.push(b'\\');
                }
                text.push(byte);
            }
            text.push(b'"');
        }
        text.extend_from_slice(b"]\n\t");
        text.extend_from_slice(&self.name);
        if let Some(value) = &self.value {
            text.extend_from_slice(b" = \"");
            for &byte in value {
                match byte {
                    b'"' | b'\\' => text.extend([b'\\', byte]),
                    b'\n' => text.extend_from_slice(b"\\n"),
                    byte => text.push(byte),
                }
            }
            text.push(b'"');
        }
        text.push(b'\n');
    }
}

/// Settings in their order: of several with one key, the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings(pub(crate) Vec<Setting>);

impl Settings {
    /// The value that counts. A name alone is an empty one here.
    pub(crate) fn get(&self, section: &str, name: &str) -> Option<&[u8]> {
        let last = self.0.iter().rev().find(|setting| setting.is(section, name))?;
        Some(last.value.as_deref().unwrap_or_default())
    }

    /// Whether a setting is there and says yes, as git reads it.
    pub(crate) fn is_on(&self, section: &str, name: &str) -> bool {
        let last = self.0.iter().rev().find(|setting| setting.is(section, name));
        match last.map(|setting| setting.value.as_deref()) {
            None => false,
            Some(None) => true,
            Some(Some(value)) => {
                let word = value.to_ascii_lowercase();
                let number = std::str::from_utf8(&word)
                    .ok()
                    .and_then(|text| text.trim_end_matches(['k', 'm', 'g']).parse::<i64>().ok());
                matches!(&*word, b"true" | b"yes" | b"on") || number.is_some_and(|number| number != 0)
            }
        }
    }

    /// All of `section.*.name`, with their subsections.
    pub(crate) fn each<'a>(
        &'a self,
        section: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.0.iter().filter_map(move |setting| {
            let wanted = setting.section == section.as_bytes() && setting.name == name.as_bytes();
            let subsection = setting.subsection.as_deref().filter(|_| wanted)?;
            Some((subsection, setting.value.as_deref().unwrap_or_default()))
        })
    }

    /// These, and those of `later` after them.
    pub(crate) fn and(mut self, later: Self) -> Self {
        self.0.extend(later.0);
        self
    }
}

/// A file of git's with some settings.
pub(crate) fn text_of<'a>(settings: impl IntoIterator<Item = &'a Setting>) -> Vec<u8> {
    let mut text = Vec::new();
    for setting in settings {
        setting.write(&mut text);
    }
    text
}

#[cfg(test)]
mod tests;
