//! Records of PAX extended headers (POSIX.1-2017, `pax`, "pax Extended Header").
//!
//! Parsed by their stated length: values of extended attributes are binary and hold newlines and zeros.

use crate::entry::{Timestamp, Xattr};

/// `SCHILY.xattr.` is what GNU tar, bsdtar and every container tool write.
const XATTR: &[u8] = b"SCHILY.xattr.";
/// GNU tar writes security labels here.
const SELINUX: &[u8] = b"RHT.security.selinux";

/// The records of one header, or of several that apply together: the last of a name counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

/// A record that does not read as one.
#[derive(Debug)]
pub(crate) struct BadRecord;

impl Records {
    /// Adds the records of one header.
    pub(crate) fn extend(&mut self, mut data: &[u8]) -> Result<(), BadRecord> {
        while !data.is_empty() {
            let space = data
                .iter()
                .take(20)
                .position(|byte| *byte == b' ')
                .ok_or(BadRecord)?;
            let length = decimal(&data[..space]).ok_or(BadRecord)?;
            let length = usize::try_from(length).map_err(|_| BadRecord)?;
            let record = data.get(space + 1..length).ok_or(BadRecord)?;
            let Some((b'\n', record)) = record.split_last() else {
                return Err(BadRecord);
            };
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(BadRecord)?;
            self.0
                .push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
            data = &data[length..];
        }
        Ok(())
    }

    /// Adds the records of another header, which win.
    pub(crate) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a record; an empty one takes back an earlier one.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(name, _)| name == key.as_bytes());
        found
            .map(|(_, value)| value.as_slice())
            .filter(|value| !value.is_empty())
    }

    /// A record that is a decimal number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, BadRecord> {
        self.get(key)
            .map(|value| decimal(value).ok_or(BadRecord))
            .transpose()
    }

    /// A record that is a time.
    pub(crate) fn time(&self, key: &str) -> Result<Option<Timestamp>, BadRecord> {
        self.get(key)
            .map(|value| time(value).ok_or(BadRecord))
            .transpose()
    }

    /// All records in order, for the two keys of sparse format 0.0 that come again and again.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// Extended attributes.
    pub(crate) fn xattrs(&self) -> Vec<Xattr> {
        let xattrs = self.0.iter().filter_map(|(key, value)| {
            let name = match key.strip_prefix(XATTR) {
                Some(name) => name.to_vec(),
                None if key == SELINUX => b"security.selinux".to_vec(),
                None => return None,
            };
            Some(Xattr {
                name,
                value: value.clone(),
            })
        });
        xattrs.collect()
    }
}

/// A decimal number without sign or spaces.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// `-12.25` is 12 and a quarter seconds before 1970. Digits beyond nanoseconds are cut off.
fn time(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, _) => Timestamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(
            time(b"-12.25"),
            Some(Timestamp {
                seconds: -13,
                nanoseconds: 750_000_000
            })
        );
        assert_eq!(
            time(b"7"),
            Some(Timestamp {
                seconds: 7,
                nanoseconds: 0
            })
        );
        assert_eq!(
            time(b"7.1234567899"),
            Some(Timestamp {
                seconds: 7,
                nanoseconds: 123_456_789
            })
        );
        for bad in [&b""[..], b"-", b"+1", b"1.-5", b"1e9", b"99999999999999999999"] {
            assert_eq!(time(bad), None);
        }
    }

    #[test]
    fn a_binary_value_with_newlines_is_one_record() {
        let mut records = Records::default();
        records
            .extend(b"32 SCHILY.xattr.user.a=x\n9 y=\0\n\n12 path=ab/\n")
            .unwrap();
        assert_eq!(
            records.xattrs(),
            [Xattr {
                name: b"user.a".to_vec(),
                value: b"x\n9 y=\0\n".to_vec()
            }]
        );
        assert_eq!(records.get("path"), Some(&b"ab/"[..]));
    }

    #[test]
    fn records_that_lie_about_their_length_are_refused() {
        for bad in [
            &b"5 a=b\n"[..],
            b"7 a=b\n",
            b"0 a=b\n",
            b"a=b\n",
            b"6 abc\n",
            b"-6 a=b\n",
            b"99999999999999999999 a=b\n",
        ] {
            assert!(Records::default().extend(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
