//! The 512 bytes before each member (POSIX.1-2017, `pax`, "ustar Interchange Format"; GNU's large numbers).
//!
//! Written here and not by a crate: one goes before each of many small files, in a guest whose processor is slow.

pub(crate) use tarball::number;

/// Headers and data come in records of this size.
pub(crate) const RECORD: usize = 512;

/// What a member is, by the letter in its header.
pub(crate) mod kind {
    pub(crate) const FILE: u8 = b'0';
    pub(crate) const HARD_LINK: u8 = b'1';
    pub(crate) const SYMLINK: u8 = b'2';
    pub(crate) const CHARACTER_DEVICE: u8 = b'3';
    pub(crate) const BLOCK_DEVICE: u8 = b'4';
    pub(crate) const DIRECTORY: u8 = b'5';
    pub(crate) const FIFO: u8 = b'6';
    pub(crate) const CONTINUOUS: u8 = b'7';
    pub(crate) const PAX: u8 = b'x';
    pub(crate) const GLOBAL_PAX: u8 = b'g';
    pub(crate) const LONG_NAME: u8 = b'L';
    pub(crate) const LONG_LINK: u8 = b'K';
    pub(crate) const OLD_SPARSE: u8 = b'S';
    pub(crate) const VOLUME: u8 = b'V';
}

/// A header's numbers and names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header<'a> {
    pub(crate) kind: u8,
    /// At most 100 bytes; the rest is cut off.
    pub(crate) name: &'a [u8],
    /// Likewise.
    pub(crate) link: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) seconds: i64,
    pub(crate) device: (u32, u32),
}

/// Longest name or link target that fits into a header.
pub(crate) const NAME: usize = 100;

impl Header<'_> {
    /// Fills a record.
    pub(crate) fn encode(&self, record: &mut [u8]) {
        record.fill(0);
        let text = |field: &mut [u8], value: &[u8]| {
            let length = value.len().min(field.len());
            field[..length].copy_from_slice(&value[..length]);
        };
        text(&mut record[..NAME], self.name);
        put_number(&mut record[100..108], self.mode.into());
        put_number(&mut record[108..116], self.uid.into());
        put_number(&mut record[116..124], self.gid.into());
        put_number(&mut record[124..136], self.size);
        // Before 1970 only a PAX record says it.
        put_number(&mut record[136..148], self.seconds.try_into().unwrap_or(0));
        record[156] = self.kind;
        text(&mut record[157..257], self.link);
        record[257..265].copy_from_slice(b"ustar\x0000");
        put_number(&mut record[329..337], self.device.0.into());
        put_number(&mut record[337..345], self.device.1.into());
        let sum = checksum(record);
        put_number(&mut record[148..155], sum);
        record[155] = b' ';
    }
}

/// The sum of a header's bytes, its own field taken for spaces.
pub(crate) fn checksum(record: &[u8]) -> u64 {
    let all: u64 = record.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = record[148..156].iter().map(|byte| u64::from(*byte)).sum();
    all - own + 8 * u64::from(b' ')
}

/// Octal digits and a zero byte, or GNU's big-endian form where they do not fit.
fn put_number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    if value >> (3 * digits) != 0 {
        let start = field.len() - 8;
        field[..start].fill(0);
        field[start..].copy_from_slice(&value.to_be_bytes());
        field[0] |= 0x80;
        return;
    }
    let mut rest = value;
    for byte in field[..digits].iter_mut().rev() {
        *byte = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    field[digits] = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let table: [(&[u8], Option<i64>); 8] = [
            (b"0000644\0", Some(0o644)),
            (b" 644 \0\0\0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777777\0", Some(0o77777777777)),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x80\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"0000648\0", None),
        ];
        for (field, value) in table {
            assert_eq!(number(field), value, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn large_numbers_come_back() {
        for value in [0, 7, 0o7777777, 0o10000000, u64::from(u32::MAX), 1 << 33, 1 << 50] {
            for length in [8, 12] {
                let mut field = vec![0; length];
                if length == 8 && value > u64::from(u32::MAX) {
                    continue;
                }
                put_number(&mut field, value);
                assert_eq!(number(&field), i64::try_from(value).ok(), "{value} in {length}");
            }
        }
    }
}
