//! Images whose files are packed by LZ4.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use proptest::prelude::*;
use rootfs::erofs::{Compression, Entry, Kind, Options};

use crate::tree::walk;
use crate::{Image, Mounted, archive, assert_same, is_root, make_tree, reader, run};

fn packing() -> Options {
    Options {
        compression: Compression::Lz4,
        ..Options::default()
    }
}

/// Bytes of a kind: that pack well, that do not, and none but zeros.
fn bytes(kind: u8, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32 + u32::try_from(length).unwrap();
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    match kind {
        0 => vec![0; length],
        1 => (0..length).map(|_| (noise() >> 24) as u8).collect(),
        _ => (0..length)
            .map(|at| b"a line of text, as sources have it;\n"[at % 36] ^ (noise() >> 29 == 0) as u8)
            .collect(),
    }
}

/// Adds files of all sizes around the bounds of blocks and chunks to a folder.
fn add_files(folder: &Path) {
    const CHUNK: usize = 65_536;
    for kind in 0..3 {
        for size in [
            1,
            4096,
            4097,
            8192,
            8193,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            3 * CHUNK + 5,
        ] {
            fs::write(folder.join(format!("{kind}-{size}")), bytes(kind, size)).unwrap();
        }
    }
    let mixed = [
        bytes(2, CHUNK),
        bytes(1, CHUNK),
        bytes(0, CHUNK),
        bytes(2, 70_001),
    ]
    .concat();
    fs::write(folder.join("mixed"), mixed).unwrap();
}

#[test]
fn a_mounted_compressed_image_has_every_attribute_and_every_byte_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let (source, tar) = (folder.path().join("source"), folder.path().join("tar"));
    make_tree(&source);
    add_files(&source);
    if !is_root() {
        fs::remove_file(source.join("block")).unwrap();
    }
    archive(&source, &tar);
    let expected = walk(&source);
    let make = || Image::of_tar_with(File::open(&tar).unwrap(), &packing()).unwrap();
    let (image, written) = make();
    // Reads and unpacks all.
    run(
        "fsck.erofs",
        &[Path::new("-d0"), Path::new("--extract"), &image.path()],
    );
    assert_same(&reader::read(&image.bytes()), &expected);
    let (_, plain) = Image::of_tar(File::open(&tar).unwrap()).unwrap();
    assert!(written.bytes < plain.bytes - 500_000, "{written:?}, {plain:?}");
    assert_eq!(make().1, written, "the same entries give the same bytes");
    if is_root() {
        let mounted = Mounted::new(&image);
        // Anywhere first, as programs do, and then from begin to end.
        let file = File::open(mounted.0.join("mixed")).unwrap();
        let content = &expected[&b"/mixed"[..]].content;
        for at in [266_000, 65_535, 131_071, 12_345, 196_607] {
            let mut read = [0; 100];
            file.read_exact_at(&mut read, at as u64).unwrap();
            assert!(read == content[at..at + 100], "at {at}");
        }
        assert_same(&walk(&mounted.0), &expected);
    } else {
        println!("not root: the image was read, not mounted");
    }
}

/// Sources of this project, as an example of what people have.
#[test]
fn a_compressed_image_is_no_larger_than_the_one_of_the_usual_tool() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/src");
    let (tar, theirs) = (folder.path().join("tar"), folder.path().join("theirs.erofs"));
    archive(&source, &tar);
    let (_, ours) = Image::of_tar_with(File::open(&tar).unwrap(), &packing()).unwrap();
    run(
        "mkfs.erofs",
        &[Path::new("-d0"), Path::new("-zlz4"), &theirs, &source],
    );
    let theirs = fs::metadata(theirs).unwrap().len();
    assert!(
        ours.bytes * 100 <= theirs * 105,
        "{} bytes, {theirs} of mkfs.erofs",
        ours.bytes
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(6)))]

    #[test]
    fn a_compressed_file_is_what_it_was(parts in prop::collection::vec((0_u8..3, prop_oneof![1_usize..9000, 60_000_usize..140_000]), 1..4)) {
        let data: Vec<u8> = parts.iter().flat_map(|(kind, length)| bytes(*kind, *length)).collect();
        let mut entry = Entry::directory(b"file");
        entry.kind = Kind::File { size: data.len() as u64 };
        let (image, _) = Image::of_entries_with(&[(entry, data.clone())], packing()).unwrap();
        run("fsck.erofs", &[Path::new("-d0"), Path::new("--extract"), &image.path()]);
        prop_assert!(reader::read(&image.bytes())[&b"/file"[..]].content == data);
    }
}
