//! Packs of a few bytes that claim gigabytes, and packs that are none.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;

const ID: usize = 20;

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Kind and size, as a pack has them.
fn head(kind: u8, mut size: u64) -> Vec<u8> {
    let mut byte = kind << 4 | u8::try_from(size & 0xf).unwrap();
    size >>= 4;
    let mut head = Vec::new();
    while size > 0 {
        head.push(byte | 0x80);
        byte = u8::try_from(size & 0x7f).unwrap();
        size >>= 7;
    }
    head.push(byte);
    head
}

fn varint(mut size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while size > 0x7f {
        bytes.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        size >>= 7;
    }
    bytes.push(u8::try_from(size).unwrap());
    bytes
}

fn pack(objects: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(objects.len()).unwrap().to_be_bytes();
    [b"PACK\0\0\0\x02", count.as_slice(), &objects.concat(), &[0; ID]].concat()
}

fn blob(bytes: &[u8]) -> Vec<u8> {
    [head(3, bytes.len() as u64), packed(bytes)].concat()
}

/// A delta that says what it is made from and what it comes to, of what begins that many bytes before.
fn delta_of(back: u8, from: u64, to: u64) -> Vec<u8> {
    let bytes = [varint(from), varint(to), vec![0x90, 1]].concat();
    [head(6, bytes.len() as u64), vec![back], packed(&bytes)].concat()
}

fn delta(from: u64, to: u64) -> Vec<u8> {
    delta_of(5, from, to)
}

fn refused(pack: &[u8]) -> String {
    check(pack, ID).unwrap_err().to_string()
}

#[test]
fn packs_of_whole_objects_and_deltas_are_read() {
    for objects in [
        vec![],
        vec![blob(b"")],
        vec![blob(b"x"), blob(&[7; 200_000]), delta(200_000, 1000)],
    ] {
        check(pack(&objects).as_slice(), ID).unwrap();
    }
}

#[test]
fn what_objects_claim_is_counted_before_it_is_unpacked() {
    let gigabyte = 1 << 30;
    for (objects, said) in [
        // Nothing is unpacked of the first: there is nothing to unpack.
        (vec![head(3, 2 * gigabyte)], "object 1 of 1"),
        (vec![head(2, 2 * gigabyte)], "object 1 of 1"),
        (vec![head(6, 2 * gigabyte)], "object 1 of 1"),
        (vec![blob(b"x"), delta(1, 3 * gigabyte)], "object 2 of 2"),
        (vec![blob(b"x"), delta(3 * gigabyte, 1)], "object 2 of 2"),
        (vec![delta(1, 200 << 20); 7], "object 6 of 7"),
    ] {
        let refused = refused(&pack(&objects));
        assert!(refused.contains("would take"), "{refused}");
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn what_is_no_pack_or_another_size_is_refused() {
    let whole = pack(&[blob(b"some text"), delta(9, 9)]);
    for cut in 0..whole.len() {
        assert!(refused(&whole[..cut]).starts_with("the guest's commits are refused"));
    }
    let longer = [head(3, 3), packed(b"four")].concat();
    let shorter = [head(3, 5), packed(b"four")].concat();
    for (objects, said) in [
        (vec![longer], "is longer than it says"),
        (vec![shorter], "is shorter than it says"),
        (vec![[head(3, 4), vec![9; 40]].concat()], "cannot be unpacked"),
        (vec![[head(5, 4), packed(b"four")].concat()], "of no kind"),
        (vec![[head(0, 4), packed(b"four")].concat()], "of no kind"),
        (
            vec![[head(6, 0), vec![1], packed(b"")].concat()],
            "sizes of a delta",
        ),
        (vec![vec![0xff; 40]], "its size cannot be read"),
        (
            vec![[head(7, 2), vec![1; ID], packed(&[1, 1])].concat()],
            "not asked for",
        ),
    ] {
        let refused = refused(&pack(&objects));
        assert!(refused.contains(said), "{refused}");
    }
    assert!(refused(&[whole.as_slice(), b"x"].concat()).contains("more than a pack"));
    assert!(refused(b"PACK\0\0\0\x02\xff\xff\xff\xff").contains("too many objects"));
}

#[test]
fn an_object_is_made_of_no_more_deltas_than_were_asked_for() {
    let first = delta_of(u8::try_from(blob(b"x").len()).unwrap(), 1, 1);
    let back = u8::try_from(first.len()).unwrap();
    let chain = |deltas: usize| {
        let mut objects = vec![blob(b"x"), first.clone()];
        objects.resize(1 + deltas, delta_of(back, 1, 1));
        pack(&objects)
    };
    check(chain(50).as_slice(), ID).unwrap();
    let refused = refused(&chain(51));
    assert!(
        refused.contains("object 52 of 52: it is made of too many deltas"),
        "{refused}"
    );
    // Many of one are no chain.
    let mut objects = vec![blob(b"x"), first.clone()];
    let mut back = first.len();
    while back < 120 {
        let further = delta_of(u8::try_from(back).unwrap(), 1, 1);
        back += further.len();
        objects.push(further);
    }
    check(pack(&objects).as_slice(), ID).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(at in 0_usize..400, byte: u8, rest: Vec<u8>) {
        let mut bytes = pack(&[blob(b"some text"), delta(9, 9)]);
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.extend(rest);
        let _ = check(bytes.as_slice(), ID);
    }
}
