//! Records of PAX extended headers (POSIX.1-2017, `pax`, "pax Extended Header"): writing and reading them.
//!
//! Parsed by their stated length: values of extended attributes are binary.

/// Prefix of extended attributes, as GNU tar and bsdtar write them.
pub(crate) const XATTR: &str = "SCHILY.xattr.";
/// A line of our own: why the packer cannot go on.
pub(crate) const FAILURE: &str = "BANGER.failure";
/// A line of our own: what the packer left out.
pub(crate) const WARNING: &str = "BANGER.warning";

/// Adds a record to `records`.
pub(crate) fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    // The length counts its own digits.
    let mut length = rest + 1;
    while length != rest + digits(length) {
        length = rest + digits(length);
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// The records in `data`, in order; an error for what is none.
pub(crate) fn records(mut data: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), BadRecord>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let record = split(&mut data);
        if record.is_none() {
            data = &[];
        }
        Some(record.ok_or(BadRecord))
    })
}

/// What is no record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadRecord;

fn split<'a>(data: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    let record = data.get(space + 1..length)?;
    let (b'\n', record) = record.split_last()? else {
        return None;
    };
    let equals = record.iter().position(|byte| *byte == b'=')?;
    *data = &data[length..];
    Some((&record[..equals], &record[equals + 1..]))
}

/// A decimal number without sign or spaces.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds and nanoseconds since 1970; digits beyond nanoseconds are cut off.
pub(crate) fn time(text: &[u8]) -> Option<(i64, u32)> {
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
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_come_back_as_they_were_written(
            pairs in proptest::collection::vec(("[a-zA-Z.]{1,20}", proptest::collection::vec(any::<u8>(), 0..300)), 0..8),
        ) {
            let mut data = Vec::new();
            for (key, value) in &pairs {
                push(&mut data, key.as_bytes(), value);
            }
            let read: Vec<_> = records(&data).map(Result::unwrap).collect();
            let written: Vec<_> = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_slice())).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn no_bytes_make_the_records_reader_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = records(&data).count();
            let _ = time(&data);
        }
    }

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(time(b"-12.25"), Some((-13, 750_000_000)));
        assert_eq!(time(b"7.1234567899"), Some((7, 123_456_789)));
        assert_eq!(time(b"7"), Some((7, 0)));
        for bad in [&b""[..], b"-", b"+1", b"1.-5", b"1e9"] {
            assert_eq!(time(bad), None);
        }
    }
}
