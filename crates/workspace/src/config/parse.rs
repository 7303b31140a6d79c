//! The grammar of git's files of settings (git-config(1), "Syntax"), as git's own reader has it.

use super::{Setting, Settings};

/// What settings may take yet, each with its section, which stands once above many of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) settings: usize,
    pub(super) bytes: usize,
}

impl Room {
    fn take(&mut self, setting: &Setting) -> Option<()> {
        let optional = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let bytes = setting.section.len()
            + optional(&setting.subsection)
            + setting.name.len()
            + optional(&setting.value);
        self.settings = self.settings.checked_sub(1)?;
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(())
    }
}

/// Why a text is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// The line that is none of git's, from 1.
    Line(usize),
    /// It has more than there is room for.
    TooMuch,
}

impl From<usize> for Unread {
    fn from(line: usize) -> Self {
        Self::Line(line)
    }
}

/// Reads a file's text.
pub(super) fn parse(text: &[u8], room: &mut Room) -> Result<Settings, Unread> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut reader = Reader { text, at: 0, line: 1 };
    let line = |reader: &Reader<'_>| reader.line;
    let mut settings = Vec::new();
    let mut section: Option<(Vec<u8>, Option<Vec<u8>>)> = None;
    loop {
        match reader.next() {
            None => return Ok(Settings(settings)),
            Some(b'#' | b';') => reader.skip_line(),
            Some(b'[') => {
                let begun = line(&reader);
                section = Some(reader.section().ok_or(begun)?);
            }
            Some(byte) if byte.is_ascii_whitespace() || byte == 0x0b => {}
            Some(byte) if byte.is_ascii_alphabetic() => {
                let begun = line(&reader);
                let (section, subsection) = section.clone().ok_or(begun)?;
                let (name, value) = reader.setting(byte).ok_or(begun)?;
                let setting = Setting {
                    section,
                    subsection,
                    name,
                    value,
                };
                room.take(&setting).ok_or(Unread::TooMuch)?;
                settings.push(setting);
            }
            Some(_) => return Err(reader.line.into()),
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Reader<'_> {
    /// The next byte; a line's end is one, whichever it is.
    fn next(&mut self) -> Option<u8> {
        let mut byte = *self.text.get(self.at)?;
        self.at += 1;
        if byte == b'\r' && self.text.get(self.at) == Some(&b'\n') {
            byte = b'\n';
            self.at += 1;
        }
        if byte == b'\n' {
            self.line += 1;
        }
        Some(byte)
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|byte| byte != b'\n') {}
    }

    /// What follows a `[`.
    fn section(&mut self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let mut name = Vec::new();
        loop {
            match self.next()? {
                b']' => break,
                b'\n' => return None,
                byte if byte.is_ascii_whitespace() => {
                    let subsection = self.subsection()?;
                    return Some((name, Some(subsection))).filter(|(name, _)| !name.is_empty());
                }
                byte if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') => {
                    name.push(byte.to_ascii_lowercase());
                }
                _ => return None,
            }
        }
        if name.is_empty() {
            return None;
        }
        // The older way to write a subsection.
        Some(match name.iter().position(|byte| *byte == b'.') {
            Some(dot) => (name[..dot].to_vec(), Some(name[dot + 1..].to_vec())),
            None => (name, None),
        })
    }

    fn subsection(&mut self) -> Option<Vec<u8>> {
        let mut byte = self.next()?;
        while byte != b'"' {
            if byte == b'\n' || !byte.is_ascii_whitespace() {
                return None;
            }
            byte = self.next()?;
        }
        let mut name = Vec::new();
        loop {
            match self.next()? {
                b'\n' | 0 => return None,
                b'"' => break,
                b'\\' => name.push(self.next().filter(|byte| !matches!(byte, b'\n' | 0))?),
                byte => name.push(byte),
            }
        }
        (self.next()? == b']').then_some(name)
    }

    /// A name that begins with `first`, and its value.
    fn setting(&mut self, first: u8) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let mut name = vec![first.to_ascii_lowercase()];
        let mut byte = self.next();
        while let Some(letter) = byte.filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            name.push(letter.to_ascii_lowercase());
            byte = self.next();
        }
        while matches!(byte, Some(b' ' | b'\t')) {
            byte = self.next();
        }
        match byte {
            None | Some(b'\n') => Some((name, None)),
            Some(b'=') => Some((name, Some(self.value()?))),
            Some(_) => None,
        }
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        let (mut quoted, mut comment) = (false, false);
        // Where the spaces at its end begin.
        let mut end = None;
        loop {
            let byte = match self.next() {
                None | Some(b'\n') if quoted => return None,
                None | Some(b'\n') => break,
                Some(byte) => byte,
            };
            match byte {
                _ if comment => {}
                0 => return None,
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c if !quoted => {
                    end = end.or(Some(value.len()));
                    if !value.is_empty() {
                        value.push(byte);
                    }
                }
                b'#' | b';' if !quoted => comment = true,
                byte => {
                    end = None;
                    match byte {
                        b'\\' => match self.next()? {
                            b'\n' => {}
                            b't' => value.push(b'\t'),
                            b'b' => value.push(0x08),
                            b'n' => value.push(b'\n'),
                            byte @ (b'\\' | b'"') => value.push(byte),
                            _ => return None,
                        },
                        b'"' => quoted = !quoted,
                        byte => value.push(byte),
                    }
                }
            }
        }
        value.truncate(end.unwrap_or(value.len()));
        Some(value)
    }
}
