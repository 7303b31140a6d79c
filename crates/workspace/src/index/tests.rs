//! Packs as git makes them, cut, changed and made up.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::{Index, Indexer};
use crate::digest::Format;

/// A pack of blobs, and of one object of another kind.
fn pack(format: Format, kind: u8, blobs: &[&[u8]]) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend(u32::try_from(blobs.len()).unwrap().to_be_bytes());
    for blob in blobs {
        let mut left = blob.len() >> 4;
        let more = if left > 0 { 0x80 } else { 0 };
        pack.push(more | (kind << 4) | u8::try_from(blob.len() & 0xf).unwrap());
        while left > 0 {
            let more = if left > 0x7f { 0x80 } else { 0 };
            pack.push(more | u8::try_from(left & 0x7f).unwrap());
            left >>= 7;
        }
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(blob).unwrap();
        pack.extend(packed.finish().unwrap());
    }
    let mut digest = format.digest();
    digest.update(&pack);
    pack.extend(digest.finish());
    pack
}

fn read(pack: &[u8], piece: usize) -> Result<Option<Index>, &'static str> {
    let mut indexer = Indexer::new(Format::Sha1);
    for piece in pack.chunks(piece) {
        indexer.take(piece)?;
    }
    Ok(indexer.index())
}

fn sound() -> Vec<u8> {
    let long = b"0123456789abcdef\n".repeat(10_000);
    pack(Format::Sha1, 3, &[b"", b"hello\n", &long])
}

#[test]
fn a_pack_has_the_same_index_in_whatever_pieces_it_comes() {
    let pack = sound();
    let whole = read(&pack, pack.len()).unwrap().unwrap();
    // The ids that git has for these.
    for id in [
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
        "ce013625030ba8dba906f756967f9e9ca394464a",
    ] {
        let id: Vec<u8> = (0..20)
            .map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        assert!(whole.text.windows(20).any(|window| window == id));
    }
    for piece in [1, 2, 7, 100] {
        let again = read(&pack, piece).unwrap().unwrap();
        assert_eq!((again.pack, again.text), (whole.pack.clone(), whole.text.clone()));
    }
}

#[test]
fn what_is_no_whole_pack_of_whole_objects_has_no_index() {
    let pack_of = |kind| pack(Format::Sha1, kind, &[b"hello\n"]);
    for kind in [0, 5, 6, 7] {
        assert_eq!(
            read(&pack_of(kind), 100).err(),
            Some("it holds what is no whole object")
        );
    }
    assert_eq!(read(b"PACK\0\0\0\x03\0\0\0\0", 100).err(), Some("it is no pack"));
    let sound = sound();
    assert_eq!(
        read(&[&sound[..], b"x"].concat(), 100).err(),
        Some("there is more than a pack")
    );
    for end in 0..sound.len() {
        assert!(read(&sound[..end], 4096).unwrap().is_none(), "{end}");
    }
}

proptest! {
    #[test]
    fn a_pack_that_was_changed_has_no_index(at: prop::sample::Index, change in 1_u8..) {
        let mut pack = sound();
        let at = at.index(pack.len());
        pack[at] ^= change;
        prop_assert!(read(&pack, 4096).ok().flatten().is_none());
    }

    #[test]
    fn no_bytes_make_the_indexer_panic(bytes: Vec<u8>) {
        let _ = read(&bytes, 16);
        let _ = read(&[b"PACK\0\0\0\x02\0\0\0\x01", &bytes[..]].concat(), 16);
    }
}
