//! Archives whose maker wishes us ill, or whose disk did. Each is refused with one line that names layer and entry.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod support;

use oci::{Compression, Digest, Limits, OciError};
use proptest::prelude::*;
use support::tar::{Meta, Tar, header};
use support::{flatten, flatten_within, layer, layers, pack};
use tar::EntryType;

fn refused(archives: &[Vec<u8>]) -> String {
    flatten(&layers(archives)).unwrap_err().to_string()
}

#[test]
fn a_hostile_archive_is_refused_with_one_line_that_names_the_entry() {
    let base = || Tar::new().file("file", "x").dir("dir");
    let long = "n".repeat(256);
    let deep = "d/".repeat(2100);
    for (archive, message) in [
        (
            Tar::new().file("../x", ""),
            "layer 0, `../x`: `..` leads out of the image",
        ),
        (
            Tar::new().file("a/../../x", ""),
            "layer 0, `a/../../x`: `..` leads out of the image",
        ),
        (
            Tar::new().file("/../x", ""),
            "layer 0, `/../x`: `..` leads out of the image",
        ),
        (
            base().link("x", "../../etc/passwd"),
            "layer 0, `x`: `..` leads out of the image",
        ),
        (
            base().link("x", "/etc/passwd"),
            "layer 0, `x`: hard link to `/etc/passwd`, which is not there",
        ),
        (
            base().link("x", "dir"),
            "layer 0, `x`: hard link to directory `dir`",
        ),
        (base().link("x", "."), "layer 0, `x`: hard link to directory `.`"),
        (
            base().link("x", "x"),
            "layer 0, `x`: hard link to `x`, which is not there",
        ),
        (
            base().file("file/x", ""),
            "layer 0, `file/x`: `file` on its path is not a directory",
        ),
        (
            base().file(".", "x"),
            "layer 0, `.`: the root must be a directory",
        ),
        (
            base().symlink("s", ""),
            "layer 0, `s`: symbolic link without a target",
        ),
        (
            base().record("linkpath", b"a\0b").symlink("s", ""),
            "layer 0, `s`: zero byte in a name",
        ),
        (
            base().record("path", b"a\0b").file("", ""),
            "layer 0, `a\\x00b`: zero byte in a name",
        ),
        (base().file("", "x"), "layer 0, ``: empty name"),
        (
            Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", ""),
            "layer 0, `a/x`: too many symbolic links on its path",
        ),
        (Tar::new().file("d/.wh..", ""), "layer 0, `d/.wh..`: bad whiteout"),
        (Tar::new().file("d/.wh.", ""), "layer 0, `d/.wh.`: bad whiteout"),
        (
            Tar::new().file("d/.wh.x/y", ""),
            "layer 0, `d/.wh.x/y`: bad whiteout",
        ),
        (
            Tar::new().entry(EntryType::new(b'M'), "x", "", b"", Meta::default()),
            "layer 0, `x`: unknown entry type `M`",
        ),
        (
            Tar::new().record("size", b"9999999").file("x", "abc"),
            "layer 0, `x`: the archive is truncated here",
        ),
        (
            Tar::new().record("uid", b"99999999999").file("x", ""),
            "layer 0, `x`: bad owner in its header",
        ),
        (
            Tar::new().record("mtime", b"1e9").file("x", ""),
            "layer 0, `x`: bad time in its header",
        ),
        (
            Tar::new()
                .record("GNU.sparse.major", b"0")
                .record("GNU.sparse.size", b"10")
                .record("GNU.sparse.map", b"5,9")
                .file("x", ""),
            "layer 0, `x`: bad sparse map in its header",
        ),
        (
            Tar::new().raw(header(EntryType::XHeader, 5 << 20, Meta::default()), b""),
            "layer 0, `(start)`: extension header of 5242880 bytes is too large",
        ),
    ] {
        assert_eq!(refused(&[archive.finish()]), message);
    }
    for (archive, part) in [
        (Tar::new().file(&long, ""), "name of 256 bytes; 255 is the most"),
        (Tar::new().file(&deep, ""), "path of 4200 bytes; 4095 is the most"),
        (
            Tar::new().symlink("s", &deep),
            "path of 4200 bytes; 4095 is the most",
        ),
        (
            Tar::new().symlink("s", &format!("a/{long}")).file("s/x", ""),
            "name of 256 bytes; 255 is the most",
        ),
    ] {
        let message = refused(&[archive.finish()]);
        assert!(message.contains(part) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn headers_upon_headers_before_one_member_are_bounded() {
    let mut archive = Tar::new();
    let record = vec![b'x'; 600 << 10];
    for _ in 0..2 {
        let mut records = b"614416 comment=".to_vec();
        records.extend(&record);
        records.push(b'\n');
        archive = archive.raw(
            header(EntryType::XHeader, records.len() as u64, Meta::default()),
            &records,
        );
    }
    let message = refused(&[archive.file("x", "").finish()]);
    assert!(message.contains("is too large"), "{message}");
}

#[test]
fn names_with_newlines_and_255_bytes_are_fine() {
    let long = "n".repeat(255);
    let archive = Tar::new()
        .file("a\nb", "1")
        .file(&long, "2")
        .file("ä\u{7f}", "3")
        .finish();
    let flat = flatten(&layers(&[archive])).unwrap();
    let paths: Vec<&[u8]> = flat.iter().map(|(entry, _)| entry.path.as_slice()).collect();
    assert_eq!(paths, [&b"a\nb"[..], long.as_bytes(), "ä\u{7f}".as_bytes()]);
}

#[test]
fn whiteouts_of_what_is_not_there_are_nothing() {
    let base = Tar::new().file("f", "1").symlink("loop", "loop").finish();
    let next = Tar::new()
        .file(".wh.x", "")
        .file("x/y/.wh.z", "")
        .file("f/.wh.z", "")
        .file("loop/.wh.z", "")
        .file("x/.wh..wh..opq", "")
        .file(".wh..wh.aufs", "")
        .finish();
    assert_eq!(
        support::files(&[base, next]),
        [support::pair("f", "file 1"), support::pair("loop", "link loop")]
    );
}

#[test]
fn limits_hold_over_all_layers_together() {
    let archives = [
        Tar::new().file("a", "1").finish(),
        Tar::new().file("b", "2").finish(),
    ];
    let layers = layers(&archives);
    let unbounded = Limits::default();
    for (limits, message) in [
        (
            Limits {
                entries: 1,
                ..unbounded
            },
            "the layers hold more than 1 entries",
        ),
        (
            Limits {
                names: 1,
                ..unbounded
            },
            "the layers hold more than 1 bytes of names",
        ),
        (
            Limits {
                bytes: 3000,
                ..unbounded
            },
            "the layers hold more than 3000 bytes",
        ),
    ] {
        assert_eq!(flatten_within(&layers, &limits).unwrap_err().to_string(), message);
    }
    let exact = Limits {
        entries: 3,
        names: 2,
        bytes: 4096,
        ..unbounded
    };
    assert_eq!(flatten_within(&layers, &exact).unwrap().len(), 2);
}

#[test]
fn directories_that_have_to_be_made_count_too() {
    let archive = Tar::new().file("a/b/c/d/e/f/g/h", "").finish();
    let limits = Limits {
        entries: 6,
        ..Limits::default()
    };
    let message = flatten_within(&layers(&[archive]), &limits)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("more than 6 entries and directories"),
        "{message}"
    );
}

#[test]
fn a_bomb_is_stopped_at_the_bound() {
    let zeros = Tar::new().file("z", &"\0".repeat(8 << 20)).finish();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let blob = pack(&zeros, compression);
        assert!(blob.len() < 100_000);
        let bomb = layer("bomb", &blob, compression, None);
        let limits = Limits {
            bytes: 1 << 20,
            ..Limits::default()
        };
        let error = flatten_within(&[bomb], &limits).unwrap_err();
        assert!(
            matches!(error, OciError::TooMuch { what: "bytes", .. }),
            "{error}"
        );
    }
}

#[test]
fn truncated_corrupted_and_mislabelled_layers_are_told_apart() {
    use Compression::{Gzip, Plain, Zstd};
    let archive = Tar::new()
        .file("a", &"data ".repeat(2000))
        .file("b", "2")
        .finish();
    for compression in [Plain, Gzip, Zstd] {
        let blob = pack(&archive, compression);
        let whole = layer("x", &blob, compression, Some(Digest::of(&archive)));
        assert_eq!(flatten(&[whole]).unwrap().len(), 2);
        let cut = layer("x", &blob[..blob.len() / 2], compression, None);
        let error = flatten(&[cut]).unwrap_err();
        assert!(
            matches!(error, OciError::Entry { .. }),
            "{compression:?}: {error}"
        );
        let empty = layer("x", b"", Plain, None);
        assert!(matches!(flatten(&[empty]), Err(OciError::Entry { .. })));
        for other in [Plain, Gzip, Zstd] {
            if other != compression {
                let error = flatten(&[layer("x", &blob, other, None)]).unwrap_err();
                assert!(matches!(error, OciError::Mislabelled { .. }), "{error}");
            }
        }
        let other = layer("x", &blob, compression, Some(Digest::of(b"other")));
        assert!(matches!(flatten(&[other]), Err(OciError::WrongContent { .. })));
    }
    // What a layer holds behind the end of its archive is part of its digest.
    let mut longer = archive.clone();
    longer.extend([1; 5000]);
    let longer = layer("x", &longer, Plain, Some(Digest::of(&archive)));
    assert!(matches!(flatten(&[longer]), Err(OciError::WrongContent { .. })));
}

#[test]
fn a_broken_header_is_named_by_the_entry_before_it() {
    let mut archive = Tar::new().file("good", "").file("bad", "").finish();
    archive[512 + 3] ^= 1;
    let layer = layer("x", &archive, Compression::Plain, None);
    let message = flatten(&[layer]).unwrap_err().to_string();
    assert_eq!(
        message,
        "layer x, `good`: the archive's header after this is broken"
    );
}

#[test]
fn an_archive_without_an_end_is_whole_if_its_digest_says_so() {
    let archive = Tar::new().file("a", "1").open_end();
    assert_eq!(support::files(&[archive]), [support::pair("a", "file 1")]);
}

#[test]
fn flattening_can_be_cancelled_before_and_between() {
    let cancel = progress::Cancel::default();
    let layers = layers(&[Tar::new().file("a", "1").file("b", "2").finish()]);
    let mut flattened = oci::flatten(&layers, &Limits::default(), &cancel);
    assert!(flattened.next().unwrap().is_some());
    cancel.cancel();
    assert!(matches!(flattened.next(), Err(OciError::Cancelled)));
    let mut flattened = oci::flatten(&layers, &Limits::default(), &cancel);
    assert!(matches!(flattened.next(), Err(OciError::Cancelled)));
}

#[test]
fn a_layer_of_very_many_entries_goes_through() {
    let mut archive = Tar::new();
    for number in 0..100_000_u32 {
        archive = archive.file(&format!("d{}/{number}", number % 100), "");
    }
    let flat = flatten(&layers(&[archive.finish()])).unwrap();
    assert_eq!(flat.len(), 100_000);
}

proptest! {
    #[test]
    fn no_bytes_make_a_layer_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
            let _ = flatten(&[layer("x", &bytes, compression, None)]);
        }
    }

    #[test]
    fn no_change_of_an_archive_makes_it_panic(changes in proptest::collection::vec((0..6000_usize, any::<u8>()), 1..8)) {
        let mut archive = Tar::new()
            .dir("d")
            .record("SCHILY.xattr.user.a", b"1\n2")
            .file("d/a", "data")
            .link("d/b", "d/a")
            .symlink("s", "d")
            .record("GNU.sparse.major", b"1").record("GNU.sparse.minor", b"0").record("GNU.sparse.realsize", b"9")
            .file("s/x", &format!("{:\0<512}", "1\n3\n0\n"))
            .finish();
        for (place, value) in changes {
            let length = archive.len();
            let place = place % length;
            archive[place] = value;
            // With a right checksum the change goes deeper.
            let start = place - place % 512;
            if let Some(block) = archive.get_mut(start..start + 512) {
                let mut header = tar::Header::new_old();
                header.as_mut_bytes().copy_from_slice(block);
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        let _ = flatten(&[layer("x", &archive, Compression::Plain, None)]);
    }
}
