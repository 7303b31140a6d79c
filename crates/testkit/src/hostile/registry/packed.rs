//! Packed streams, small ones that unpack to gigabytes among them.

use std::io::Write as _;

/// Most bytes that a block of zstd unpacks to.
const BLOCK: u64 = 128 << 10;

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("memory takes it");
    packer.finish().expect("memory takes it")
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes it")
}

/// A frame of zstd that is this byte so many times: four bytes for each block (RFC 8878, 3.1.1.2, `RLE_Block`).
pub(super) fn run(byte: u8, length: u64) -> Vec<u8> {
    // Magic, no size, and a window of 128 KiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (17 - 10) << 3];
    let mut left = length;
    loop {
        let block = left.min(BLOCK);
        left -= block;
        let header = (block << 3) | (1 << 1) | u64::from(left == 0);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(byte);
        if left == 0 {
            return frame;
        }
    }
}

/// A frame of zstd that wants a window of two gigabytes.
pub(super) fn giant_window() -> Vec<u8> {
    vec![0x28, 0xb5, 0x2f, 0xfd, 0, (31 - 10) << 3, 1, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_unpacks_to_what_it_says_behind_another_frame() {
        let length = (1 << 20) + 7;
        let frames = [zstd(b"head"), run(b'x', length)].concat();
        let mut unpacked = b"head".to_vec();
        unpacked.resize(4 + (1 << 20) + 7, b'x');
        assert!(zstd::decode_all(frames.as_slice()).is_ok_and(|found| found == unpacked));
        assert!(run(0, 1 << 30).len() < 33_000);
        assert!(zstd::decode_all(giant_window().as_slice()).is_err());
    }
}
