//! Archives that were made to do harm: each is refused with its reason, or bounded.

use std::io::{self, Cursor, Read};

use proptest::prelude::*;
use rootfs::erofs::{ErofsError, Options, Written, write_tar};

use crate::{Image, reader};

/// One member: type, name, link, data, and what is changed in its header.
fn member(kind: u8, name: &str, link: &str, data: &[u8], size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    member(b'0', name, "", data, data.len() as u64)
}

/// PAX records for the next member.
fn pax(kind: u8, records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        data.extend(
            format!("{length} {key}=")
                .bytes()
                .chain(value.iter().copied())
                .chain(*b"\n"),
        );
    }
    member(kind, "pax", "", &data, data.len() as u64)
}

fn make(members: &[Vec<u8>]) -> Result<(Image, Written), ErofsError> {
    let mut tar = members.concat();
    tar.extend([0; 1024]);
    Image::of_tar(tar.as_slice())
}

fn refused(members: &[Vec<u8>]) -> ErofsError {
    match make(members) {
        Err(error) => error,
        Ok((_, written)) => panic!("it was taken: {written:?}"),
    }
}

#[test]
fn a_size_that_only_the_header_has_costs_nothing() {
    for size in [1 << 20, 200 << 30, u64::MAX >> 2] {
        let error = refused(&[member(b'0', "huge", "", b"short", size)]);
        let expected = matches!(
            error,
            ErofsError::Truncated { .. } | ErofsError::TooLarge { .. } | ErofsError::BadField { .. }
        );
        assert!(expected, "{size}: {error}");
    }
    let error = refused(&[
        pax(b'x', &[("size", b"18446744073709551615")]),
        file("huge", b"short"),
    ]);
    assert!(matches!(error, ErofsError::TooLarge { .. }), "{error}");
}

#[test]
fn a_sparse_file_larger_than_the_bound_is_refused_before_it_is_read() {
    let records: [(&str, &[u8]); 2] = [
        ("GNU.sparse.size", b"999999999999999"),
        ("GNU.sparse.map", b"0,1"),
    ];
    let error = refused(&[pax(b'x', &records), file("sparse", b"x")]);
    assert!(matches!(error, ErofsError::TooLarge { .. }), "{error}");
}

#[test]
fn paths_that_lead_out_are_refused() {
    for name in ["../a", "a/../../b", "a/..", ".."] {
        assert!(
            matches!(refused(&[file(name, b"")]), ErofsError::Traversal { .. }),
            "{name}"
        );
    }
    let error = refused(&[file("a", b""), member(b'1', "b", "../a", b"", 0)]);
    assert!(matches!(error, ErofsError::Traversal { .. }), "{error}");
    // An absolute path is one from the root of the image.
    let (image, _) = make(&[file("/etc//./passwd", b"x")]).unwrap();
    assert!(reader::read(&image.bytes()).contains_key(&b"/etc/passwd"[..]));
}

#[test]
fn a_path_through_a_symbolic_link_does_not_follow_it() {
    let link = member(b'2', "etc", "/outside", b"", 0);
    let error = refused(&[link, file("etc/passwd", b"x")]);
    assert!(matches!(error, ErofsError::ParentNotDirectory { .. }), "{error}");
}

#[test]
fn names_and_paths_that_are_too_long_are_refused() {
    let long = |length: usize| [pax(b'x', &[("path", &vec![b'n'; length])]), file("short", b"")].concat();
    assert!(make(&[long(255)]).is_ok());
    assert!(matches!(
        refused(&[long(256)]),
        ErofsError::NameTooLong { length: 256, .. }
    ));
    let deep = "d/".repeat(2048);
    let error = refused(&[pax(b'x', &[("path", deep.as_bytes())]), file("short", b"")]);
    assert!(matches!(error, ErofsError::PathTooLong { .. }), "{error}");
    // As deep as Linux goes; fsck.erofs itself overflows its stack on this one.
    let deepest = &deep[..4095];
    let (image, _) = make(&[pax(b'x', &[("path", deepest.as_bytes())]), file("short", b"")]).unwrap();
    assert_eq!(reader::read(&image.bytes()).len(), 2049);
}

#[test]
fn links_to_nothing_to_folders_and_to_themselves_are_refused() {
    let link = |name: &str, target: &str| member(b'1', name, target, b"", 0);
    assert!(matches!(
        refused(&[link("a", "nothing")]),
        ErofsError::LinkTargetMissing { .. }
    ));
    assert!(matches!(
        refused(&[link("a", "a")]),
        ErofsError::LinkTargetMissing { .. }
    ));
    assert!(matches!(
        refused(&[member(b'5', "d", "", b"", 0), link("a", "d")]),
        ErofsError::LinkToDirectory { .. }
    ));
    assert!(matches!(
        refused(&[member(b'2', "s", "", b"", 0)]),
        ErofsError::BadLinkTarget { .. }
    ));
    // A link in the place of its own target stays the one it is.
    let (image, _) = make(&[file("a", b"x"), link("a", "a")]).unwrap();
    assert_eq!(reader::read(&image.bytes())[&b"/a"[..]].links, 1);
}

#[test]
fn the_last_of_one_name_counts_whatever_it_replaces() {
    let (image, _) = make(&[
        member(b'5', "x/y/z", "", b"", 0),
        file("x/y/file", b"gone"),
        file("x/y", b"now a file"),
        file("b", b"first"),
        member(b'1', "kept", "b", b"", 0),
        file("b", b"second"),
        file("c", b"file"),
        member(b'5', "c", "", b"", 0),
        file("c/below", b"fine"),
        // The parent of what it links to makes place for the link.
        file("p/q", b"child"),
        member(b'1', "p", "p/q", b"", 0),
    ])
    .unwrap();
    image.check();
    let tree = reader::read(&image.bytes());
    let content = |path: &str| {
        (
            tree[path.as_bytes()].content.as_slice(),
            tree[path.as_bytes()].links,
        )
    };
    assert_eq!(content("/x/y"), (&b"now a file"[..], 1));
    assert_eq!(content("/b"), (&b"second"[..], 1));
    assert_eq!(content("/kept"), (&b"first"[..], 1));
    assert_eq!(content("/c/below"), (&b"fine"[..], 1));
    assert_eq!(content("/p"), (&b"child"[..], 1));
    assert_eq!(tree.len(), 8);
}

/// An archive without end: `start`, then `piece` again and again.
fn endless(start: Vec<u8>, piece: Vec<u8>) -> impl Read {
    struct Again(Cursor<Vec<u8>>);
    impl Read for Again {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.position() == self.0.get_ref().len() as u64 {
                self.0.set_position(0);
            }
            self.0.read(buffer)
        }
    }
    Cursor::new(start).chain(Again(Cursor::new(piece)))
}

#[test]
fn an_archive_without_end_ends_at_a_bound() {
    let numbered = (0..300)
        .flat_map(|number| file(&format!("f{number}"), b""))
        .collect::<Vec<_>>();
    let options = Options {
        entries: 100_000,
        ..Options::default()
    };
    let error = Image::make(|out| write_tar(endless(Vec::new(), numbered), out, &options)).err();
    assert!(
        matches!(error, Some(ErofsError::TooManyEntries { .. })),
        "{error:?}"
    );
    let options = Options {
        bytes: 32 << 20,
        ..Options::default()
    };
    let error =
        Image::make(|out| write_tar(endless(Vec::new(), file("f", &[1; 100_000])), out, &options)).err();
    assert!(matches!(error, Some(ErofsError::TooLarge { .. })), "{error:?}");
}

#[test]
fn extension_headers_of_one_member_are_bounded_together() {
    let long = vec![b'v'; 60_000];
    for piece in [
        pax(b'x', &[("comment", &long)]),
        member(b'L', "long", "", &long, long.len() as u64),
        member(b'K', "long", "", &long, long.len() as u64),
    ] {
        let error = Image::of_tar(endless(Vec::new(), piece)).err();
        assert!(
            matches!(error, Some(ErofsError::ExtensionTooLarge { .. })),
            "{error:?}"
        );
    }
    // Each member has the whole bound.
    let members: Vec<_> = (0..40)
        .flat_map(|_| [pax(b'x', &[("comment", &long)]), file("f", b"")])
        .collect();
    assert!(make(&members).is_ok());
}

#[test]
fn attributes_of_all_members_are_bounded_together() {
    let names: Vec<String> = (0..500)
        .map(|number| format!("SCHILY.xattr.user.{number}"))
        .collect();
    let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let global = pax(b'g', &records);
    let error = Image::of_tar(endless(global, file("f", b""))).err();
    assert!(matches!(error, Some(ErofsError::BadXattr { .. })), "{error:?}");
}

#[test]
fn folders_and_attributes_are_counted_as_the_memory_that_they_take() {
    let options = Options {
        memory: 1 << 20,
        ..Options::default()
    };
    // Each for itself, as an archive of hardly more than it shows.
    let folders = (0..6).map(|number| {
        let path = format!("{number}/{}f", "d/".repeat(1_900));
        [pax(b'x', &[("path", path.as_bytes())]), file("f", b"")].concat()
    });
    let attributes = (0..12).map(|number| {
        let names: Vec<_> = (0..500)
            .map(|name| format!("SCHILY.xattr.user.{number}.{name}"))
            .collect();
        let records: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        [pax(b'x', &records), file(&number.to_string(), b"")].concat()
    });
    for archive in [folders.collect::<Vec<_>>(), attributes.collect()] {
        let mut tar = archive.concat();
        tar.extend([0; 1024]);
        let error = Image::of_tar_with(tar.as_slice(), &options).err().unwrap();
        assert!(
            matches!(error, ErofsError::TooMuchMemory { .. })
                && error
                    .to_string()
                    .ends_with("more than the 1 MiB of memory that an image may take"),
            "{error}"
        );
        assert!(Image::of_tar(tar.as_slice()).is_ok());
    }
}

#[test]
fn as_many_attributes_as_an_inode_can_hold_are_kept() {
    let names: Vec<String> = (0..15_000)
        .map(|number| format!("SCHILY.xattr.user.{number}"))
        .collect();
    let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let member = [pax(b'x', &records), file("f", b"")].concat();
    let (image, _) = make(&vec![member; 20]).unwrap();
    assert_eq!(reader::read(&image.bytes())[&b"/f"[..]].xattrs.len(), 15_000);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(flips in prop::collection::vec((0_usize..15_000, any::<u8>()), 0..12), cut in 0_usize..20_000, fix in any::<bool>()) {
        let records: [(&str, &[u8]); 4] = [
            ("mtime", b"-1.5"),
            ("SCHILY.xattr.user.a", b"\0\n"),
            ("GNU.sparse.size", b"70000"),
            ("GNU.sparse.map", b"3,2,65536,3"),
        ];
        let mut tar = [
            member(b'5', "d", "", b"", 0),
            pax(b'x', &records),
            file("d/sparse", b"hello"),
            member(b'L', "long", "", b"d/other", 7),
            file("short", &[7; 5000]),
            member(b'1', "hard", "d/other", b"", 0),
            member(b'2', "soft", "d", b"", 0),
            member(b'3', "null", "", b"", 0),
            vec![0; 1024],
        ]
        .concat();
        for (at, byte) in flips {
            let at = at % tar.len();
            tar[at] = byte;
        }
        if fix {
            // Checksums that hold let more of it through.
            for header in tar.chunks_exact_mut(512).filter(|header| header[257..262] == *b"ustar") {
                header[148..156].fill(b' ');
                let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
                header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        tar.truncate(tar.len().saturating_sub(cut % 600));
        let options = Options { bytes: 1 << 30, ..Options::default() };
        if let Ok((image, _)) = Image::make(|out| write_tar(tar.as_slice(), out, &options)) {
            reader::read(&image.bytes());
        }
    }
}
