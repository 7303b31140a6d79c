//! Classes of bytes in patterns: `[a-c]`, `[!a-c]`, `[[:alpha:]]`, as git's `wildmatch.c` reads them.

/// A bit for each byte.
#[derive(Debug)]
pub(super) struct Class([u128; 2]);

impl Class {
    /// The class that a pattern begins with, and its length. None where it has no end, or a name that is none. Where case
    /// does not count, texts are in lower case.
    pub(super) fn read(pattern: &[u8], ignore_case: bool) -> Option<(Self, usize)> {
        let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
        let mut at = 1 + usize::from(negated);
        let mut class = Self([0; 2]);
        // What a range would begin with; none after a range or a name.
        let mut before = None;
        loop {
            let mut byte = *pattern.get(at)?;
            match byte {
                b'-' if before.is_some() && pattern.get(at + 1).is_some_and(|next| *next != b']') => {
                    at += 1;
                    byte = *pattern.get(at)?;
                    if byte == b'\\' {
                        at += 1;
                        byte = *pattern.get(at)?;
                    }
                    class.add(before.take()?, byte, ignore_case);
                }
                b'[' if pattern.get(at + 1) == Some(&b':') => {
                    let name = &pattern[at + 2..];
                    let end = name.iter().position(|byte| *byte == b']')?;
                    if let Some(name) = name[..end].strip_suffix(b":") {
                        class.add_named(name, ignore_case)?;
                        before = None;
                        at += 2 + end;
                    } else {
                        class.add(byte, byte, false);
                        before = Some(byte);
                    }
                }
                _ => {
                    if byte == b'\\' {
                        at += 1;
                        byte = *pattern.get(at)?;
                    }
                    class.add(byte, byte, false);
                    before = Some(byte);
                }
            }
            at += 1;
            if *pattern.get(at)? == b']' {
                break;
            }
        }
        if negated {
            class.0 = class.0.map(|half| !half);
        }
        Some((class, at + 1))
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 7)] >> (byte & 127) & 1 == 1
    }

    fn add(&mut self, low: u8, high: u8, ignore_case: bool) {
        if low > high {
            return;
        }
        for (half, first) in self.0.iter_mut().zip([0, 128]) {
            // Which of this half's bytes are at most, and below, a byte.
            let up_to = |byte: u8| match byte.checked_sub(first) {
                Some(byte) => u128::MAX >> 127_u8.saturating_sub(byte),
                None => 0,
            };
            let below = low.checked_sub(1).map_or(0, up_to);
            let range = up_to(high) & !below;
            *half |= range;
            if ignore_case && first == 0 {
                let upper = up_to(b'Z') & !up_to(b'A' - 1);
                *half |= (range & upper) << (b'a' - b'A');
            }
        }
    }

    /// POSIX's names, of ASCII alone.
    fn add_named(&mut self, name: &[u8], ignore_case: bool) -> Option<()> {
        let is_in: fn(&u8) -> bool = match name {
            b"alnum" => u8::is_ascii_alphanumeric,
            b"alpha" => u8::is_ascii_alphabetic,
            b"blank" => |byte| matches!(byte, b' ' | b'\t'),
            b"cntrl" => u8::is_ascii_control,
            b"digit" => u8::is_ascii_digit,
            b"graph" => u8::is_ascii_graphic,
            b"lower" => u8::is_ascii_lowercase,
            b"print" => |byte| matches!(byte, b' '..=b'~'),
            b"punct" => u8::is_ascii_punctuation,
            b"space" => |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
            b"upper" if ignore_case => u8::is_ascii_alphabetic,
            b"upper" => u8::is_ascii_uppercase,
            b"xdigit" => u8::is_ascii_hexdigit,
            _ => return None,
        };
        for byte in (0..128).filter(is_in) {
            self.0[0] |= 1 << byte;
        }
        Some(())
    }
}
