//! Fresh entropy from the host: two guests from one snapshot must not draw the same numbers.
#![expect(unsafe_code, reason = "the random device's ioctls take a pointer")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;

/// Bytes that the host sends.
const LENGTH: usize = 64;

/// `struct rand_pool_info` of `linux/random.h`.
#[repr(C)]
pub struct Pool {
    entropy_bits: i32,
    length: i32,
    bytes: [u8; LENGTH],
}

mod ioctls {
    use super::Pool;

    // `RNDADDENTROPY`: its number was made with `int[2]`, whatever follows.
    nix::ioctl_write_ptr_bad!(add, nix::request_code_write!(b'R', 0x03, 8), Pool);
    // `RNDRESEEDCRNG`.
    nix::ioctl_none!(reseed, b'R', 0x07);
}

/// The bytes that the hex digits stand for; `None` unless it is as many as it should be.
pub(super) fn decode(hex: &str) -> Option<[u8; LENGTH]> {
    let digits = hex.as_bytes();
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

/// Mixes the bytes into the kernel's pool, counts them as entropy, and has every generator start anew from it.
pub(super) fn add(hex: &str) -> io::Result<()> {
    let bytes = decode(hex).ok_or(io::ErrorKind::InvalidInput)?;
    let device = OpenOptions::new().write(true).open("/dev/urandom")?;
    let pool = Pool {
        entropy_bits: 8 * LENGTH as i32,
        length: LENGTH as i32,
        bytes,
    };
    // SAFETY: `pool` has the kernel's layout, and `length` bytes after its head; it is only read.
    unsafe { ioctls::add(device.as_raw_fd(), &raw const pool) }?;
    // SAFETY: takes no argument.
    unsafe { ioctls::reseed(device.as_raw_fd()) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entropy_is_decoded_to_the_byte(bytes in proptest::collection::vec(any::<u8>(), LENGTH)) {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(&decode(&hex).unwrap()[..], &bytes);
        }

        #[test]
        fn no_text_makes_the_decoder_panic(text in "\\PC{0,70}|[0-9a-g]{128}|.{128}") {
            let _ = decode(&text);
        }
    }
}
