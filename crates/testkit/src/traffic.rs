//! What was sent to a simulated machine, looked through for bytes that should not be there.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Bytes of an unpacked object that are looked at.
const DEEPEST: u64 = 64 << 10;
/// Length of the head of a frame.
const HEADER: usize = guest::frames::HEADER;

/// Whether what was sent on a connection holds `wanted`: as it is, or packed as git packs objects, whole packs or parts of them.
#[must_use]
pub fn contains(sent: &[u8], wanted: &[u8]) -> bool {
    find(sent, wanted).is_some() || {
        let joined = without_frames(sent);
        unpacked(&joined).any(|object| find(&object, wanted).is_some())
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        from += bytes[from..].iter().position(|byte| *byte == first)?;
        if bytes[from..].starts_with(wanted) {
            return Some(from);
        }
        from += 1;
    }
}

/// The bytes with the heads of the frames taken out that a pack came in.
fn without_frames(sent: &[u8]) -> Vec<u8> {
    let Some(start) = find(sent, b"PACK\0\0\0\x02").and_then(|pack| pack.checked_sub(HEADER)) else {
        return sent.to_vec();
    };
    let (before, mut rest) = sent.split_at(start);
    let mut joined = before.to_vec();
    while let Some((head, data)) = rest.split_at_checked(HEADER) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let length = length.min(data.len());
        joined.extend_from_slice(&data[..length]);
        rest = &data[length..];
    }
    joined
}

/// The beginning of whatever may be packed in there.
fn unpacked(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    // RFC 1950: the method and the window that git packs with, and a sum of the two bytes.
    let starts = bytes
        .windows(2)
        .enumerate()
        .filter(|(_, head)| head[0] == 0x78 && u16::from_be_bytes([head[0], head[1]]).is_multiple_of(31));
    starts.map(|(start, _)| {
        let mut object = Vec::new();
        // What came before an error counts.
        let _ = ZlibDecoder::new(&bytes[start..])
            .take(DEEPEST)
            .read_to_end(&mut object);
        object
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    #[test]
    fn a_text_is_found_plain_packed_and_packed_over_two_frames() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"before, the secret, and after").unwrap();
        let pack = [b"PACK\0\0\0\x02\0\0\0\x01\x3d", &*encoder.finish().unwrap()].concat();
        let (one, two) = pack.split_at(pack.len() / 2);
        let frame = |data: &[u8]| [&[1, 0, 0, 0, u8::try_from(data.len()).unwrap()], data].concat();
        let framed = [b"POST /\r\n\r\n".to_vec(), frame(one), frame(two)].concat();
        for sent in [b"ssthe secret".to_vec(), pack.clone(), framed] {
            assert!(contains(&sent, b"the secret"), "{}", sent.escape_ascii());
            assert!(!contains(&sent, b"the secrets"));
        }
        assert!(!contains(b"", b"the secret"));
    }
}
