//! A file is whole under its name or has none, and what is left out is said.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use archive::{ArchiveError, Keep, Members, PackOptions, Pieces, Placement, Source, Top, sift};
use bytes::Bytes;
use tempfile::tempdir;

use crate::support::{names, pack, unpack_bytes};

/// Packs what lies at `path` while `file` is cut to `length` behind the first piece of the stream.
fn pack_while_cut(path: &Path, file: &Path, length: u64) -> (String, Vec<u8>) {
    let source = Source::open(path, false).unwrap();
    let mut stream = Vec::new();
    let packed = source.pack(PackOptions::default(), &mut |piece| {
        let file = File::options().write(true).open(file).unwrap();
        file.set_len(length).unwrap();
        stream.extend_from_slice(&piece);
        Ok(())
    });
    (packed.unwrap_err().line(), stream)
}

/// A file of `size` bytes; of one with a hole only the first mebibyte and the last byte before `data` are there.
fn make(file: &Path, size: u64, data: Option<u64>) {
    let made = File::create(file).unwrap();
    match data {
        None => fs::write(file, vec![7; size as usize]).unwrap(),
        Some(data) => {
            made.write_all_at(&[7; 1 << 20], 0).unwrap();
            made.write_all_at(&[7], data - 1).unwrap();
            made.set_len(size).unwrap();
        }
    }
}

const SHRINKING: [(u64, Option<u64>, u64); 6] = [
    (4 << 20, None, 1 << 20),
    // Where the member's data does not end with a record of the stream.
    ((4 << 20) + 77, None, (1 << 20) + 3),
    ((4 << 20) + 77, None, 0),
    (64 << 20, Some(32 << 20), 1 << 19),
    (64 << 20, Some(32 << 20), 16 << 20),
    // Nothing is missed but a hole.
    (64 << 20, Some(2 << 20), 48 << 20),
];

#[test]
fn a_file_that_shrinks_while_it_is_read_takes_no_name_and_no_files_place() {
    for (size, data, cut) in SHRINKING {
        for (to, old) in [
            ("fresh", None),
            ("there", Some("there/file")),
            ("there", None),
            ("old", Some("old")),
        ] {
            let home = tempdir().unwrap();
            let file = home.path().join("file");
            make(&file, size, data);
            fs::create_dir(home.path().join("there")).unwrap();
            if let Some(old) = old {
                fs::write(home.path().join(old), "old").unwrap();
            }
            let before = (names(home.path()), names(&home.path().join("there")));
            let (here, stream) = pack_while_cut(&file, &file, cut);
            let there = unpack_bytes(&stream, home.path().join(to), Placement::Copy, Keep::default());
            let what = format!("{size} cut to {cut}, to {to}");
            // In the words of the side that knows.
            assert_eq!(there.unwrap_err().line(), here, "{what}");
            assert!(here.contains("became shorter while it was read"), "{here}");
            let after = (names(home.path()), names(&home.path().join("there")));
            assert_eq!(after, before, "{what}");
            if let Some(old) = old {
                assert_eq!(fs::read(home.path().join(old)).unwrap(), b"old", "{what}");
            }
        }
    }
}

#[test]
fn a_file_of_a_tree_that_shrinks_takes_no_files_place_either() {
    for (size, data, cut) in SHRINKING {
        let home = tempdir().unwrap();
        let (tree, there) = (home.path().join("tree"), home.path().join("there"));
        for folder in [&tree, &there.join("tree")] {
            fs::create_dir_all(folder).unwrap();
        }
        make(&tree.join("b"), size, data);
        fs::write(there.join("tree/b"), "old").unwrap();
        let (_, stream) = pack_while_cut(&tree, &tree.join("b"), cut);
        unpack_bytes(&stream, &there, Placement::Copy, Keep::default()).unwrap_err();
        assert_eq!(
            fs::read(there.join("tree/b")).unwrap(),
            b"old",
            "{size} cut to {cut}"
        );
        assert_eq!(names(&there.join("tree")), ["b"]);
        unpack_bytes(
            &stream,
            home.path().join("fresh"),
            Placement::Copy,
            Keep::default(),
        )
        .unwrap_err();
        assert!(!home.path().join("fresh").exists());
    }
}

#[test]
fn what_goes_on_of_a_file_that_shrank_says_so_and_is_not_taken_either() {
    let home = tempdir().unwrap();
    let (file, old) = (home.path().join("file"), home.path().join("old"));
    make(&file, (4 << 20) + 77, None);
    fs::write(&old, "old").unwrap();
    let (here, stream) = pack_while_cut(&file, &file, 1 << 20);
    let (mut pieces, mut passed) = (vec![Bytes::from(stream)], Vec::new());
    let sifted = sift(
        Pieces::new(|| Ok(pieces.pop())),
        &Top::of(&file),
        Keep::default(),
        &mut |piece| {
            passed.extend_from_slice(&piece);
            Ok(())
        },
    );
    assert_eq!(sifted.unwrap_err().line(), here);
    let there = unpack_bytes(&passed, &old, Placement::Copy, Keep::default());
    assert_eq!(there.unwrap_err().line(), here);
    assert_eq!(fs::read(&old).unwrap(), b"old");
}

#[test]
fn a_stream_that_is_given_up_behind_a_file_gives_it_no_name() {
    let home = tempdir().unwrap();
    fs::write(home.path().join("file"), vec![7; 300_000]).unwrap();
    let mut stream = Vec::new();
    let mut send = |piece: Bytes| {
        stream.extend_from_slice(&piece);
        Ok(())
    };
    let mut members = Members::below(home.path(), &mut send).unwrap();
    assert!(members.file("tree", b"file").unwrap());
    members.give_up("the disk is bad").unwrap();
    fs::create_dir(home.path().join("tree")).unwrap();
    let there = unpack_bytes(&stream, home.path(), Placement::Inside, Keep::default());
    assert_eq!(there.unwrap_err().line(), "the disk is bad");
    assert!(names(&home.path().join("tree")).is_empty());
}

#[test]
fn a_file_that_grows_while_it_is_read_is_its_first_bytes() {
    let home = tempdir().unwrap();
    let file = home.path().join("file");
    make(&file, 4 << 20, None);
    let mut stream = Vec::new();
    let packed = Source::open(&file, false)
        .unwrap()
        .pack(PackOptions::default(), &mut |piece| {
            File::options()
                .write(true)
                .open(&file)
                .unwrap()
                .set_len(8 << 20)
                .unwrap();
            stream.extend_from_slice(&piece);
            Ok(())
        });
    packed.unwrap();
    let back = home.path().join("back");
    unpack_bytes(&stream, &back, Placement::Copy, Keep::default()).unwrap();
    assert!(fs::read(&back).unwrap() == vec![7; 4 << 20]);
}

#[test]
fn a_long_file_whose_size_the_kernel_does_not_tell_is_whole_as_well() {
    let home = tempdir().unwrap();
    let back = home.path().join("back");
    let stream = pack("/proc/kallsyms", PackOptions::default());
    unpack_bytes(&stream, &back, Placement::Copy, Keep::default()).unwrap();
    let (back, there) = (fs::read(&back).unwrap(), fs::read("/proc/kallsyms").unwrap());
    // Its end are the symbols of modules, which come and go.
    assert!(back.len() > 1 << 20 && back[..1 << 20] == there[..1 << 20]);
}

#[test]
fn all_that_is_left_out_is_said_wherever_in_the_tree_it_stands() {
    for (sockets, files) in [(1, 0), (1, 1), (3, 0), (3, 2), (30, 1)] {
        let home = tempdir().unwrap();
        let tree = home.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let held: Vec<_> = (0..sockets)
            .map(|number| UnixListener::bind(tree.join(format!("socket{number}"))).unwrap())
            .collect();
        for number in 0..files {
            fs::write(tree.join(format!("file{number}")), "x").unwrap();
        }
        let stream = pack(&tree, PackOptions::default());
        let what = format!("{sockets} sockets, {files} files");
        let summary = unpack_bytes(
            &stream,
            home.path().join("back"),
            Placement::Copy,
            Keep::default(),
        )
        .unwrap();
        let said = summary.warnings.len() as u64 + summary.more_warnings;
        assert_eq!(said, sockets, "{what}: {summary:?}");
        assert!(
            summary
                .warnings
                .iter()
                .all(|line| line.ends_with("is a socket: left out"))
        );
        let mut pieces = vec![Bytes::from(stream)];
        let sifted: Result<_, ArchiveError> = sift(
            Pieces::new(|| Ok(pieces.pop())),
            &Top::of(&tree),
            Keep::default(),
            &mut |_| Ok(()),
        );
        assert_eq!(
            sifted
                .map(|sifted| (sifted.warnings, sifted.more_warnings))
                .unwrap(),
            (summary.warnings, summary.more_warnings),
            "{what}"
        );
        drop(held);
    }
}
