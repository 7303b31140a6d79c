//! Numbers in tar headers.

/// A number in a header: octal text, or GNU's big-endian two's complement with the top bit set. An empty field is 0.
#[must_use]
pub fn number(field: &[u8]) -> Option<i64> {
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        // Bit 6 is the sign; the top bit only marks the form.
        let start = i128::from((first << 1).cast_signed() >> 1);
        let value = rest.iter().try_fold(start, |sum, byte| {
            sum.checked_mul(256).map(|sum| sum | i128::from(*byte))
        })?;
        return i64::try_from(value).ok();
    }
    let text = field
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default()
        .trim_ascii();
    text.iter().try_fold(0_i64, |sum, byte| match byte {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let table: [(&[u8], Option<i64>); 9] = [
            (b"0000644\0", Some(0o644)),
            (b" 644 \0\0\0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777777\0", Some(0o77777777777)),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x80\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"0000648\0", None),
            (b"-1\0", None),
        ];
        for (field, value) in table {
            assert_eq!(number(field), value, "{}", field.escape_ascii());
        }
    }
}
