//! What overlayfs would take for notes of its own in its lowest layer.

use rootfs::erofs::{Entry, Kind, Xattr};

use super::Image;
use super::reader::read;

fn device(path: &str, kind: Kind) -> (Entry, Vec<u8>) {
    let entry = Entry {
        kind,
        ..Entry::file(path.as_bytes(), 0)
    };
    (entry, Vec::new())
}

fn with(entry: Entry, attributes: &[&str]) -> (Entry, Vec<u8>) {
    let xattr = |name: &&str| Xattr {
        name: name.as_bytes().to_vec(),
        value: b"y".to_vec(),
    };
    let entry = Entry {
        xattrs: attributes.iter().map(xattr).collect(),
        ..entry
    };
    (entry, Vec::new())
}

#[test]
fn overlayfs_own_attributes_and_whiteouts_are_in_no_image_and_all_else_is() {
    let character = |major, minor| Kind::CharacterDevice { major, minor };
    let link = |target: &str| Kind::HardLink {
        target: target.into(),
    };
    let own = [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        "trusted.overlay.whiteout",
        "trusted.overlay.origin",
        "trusted.overlay.overlay.opaque",
    ];
    let others = [
        "trusted.overlayed",
        "trusted.x",
        "user.overlay.opaque",
        "security.capability",
    ];
    let (image, written) = Image::of_entries(&[
        with(Entry::directory(b"d"), &[&own[..], &others].concat()),
        with(Entry::file(b"d/file", 0), &own),
        device("d/was", Kind::Fifo),
        device("d/was", character(0, 0)),
        device("d/gone", character(0, 0)),
        device("d/link", link("d/gone")),
        device("d/again", character(0, 0)),
        device("d/again", character(1, 3)),
        device("d/null", character(0, 1)),
        device("d/block", Kind::BlockDevice { major: 0, minor: 0 }),
    ])
    .unwrap();
    assert_eq!(written.left_out, 3, "was, gone and link");
    let tree = read(&image.bytes());
    let paths: Vec<String> = tree.keys().map(|path| path.escape_ascii().to_string()).collect();
    assert_eq!(
        paths.join(" ").trim(),
        "/d /d/again /d/block /d/file /d/null",
        "each that is left has its name"
    );
    let kept: Vec<Vec<u8>> = tree[&b"/d"[..]].xattrs.keys().cloned().collect();
    let mut expected = others.map(|name| name.as_bytes().to_vec());
    expected.sort();
    assert_eq!(kept, expected);
    assert!(tree[&b"/d/file"[..]].xattrs.is_empty());
    image.check();
}
