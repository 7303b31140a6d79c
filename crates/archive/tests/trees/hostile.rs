//! Streams that wish ill: whatever they say, nothing outside of the target changes, and nothing is left half.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use archive::{Keep, PackOptions, Placement};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use crate::support::{member, names, pack, unpack_broken, unpack_bytes};

/// A folder `into` to unpack to, beside a file `secret`.
fn home() -> TempDir {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("into")).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    folder
}

#[test]
fn a_hostile_archive_cannot_leave_its_target() {
    let attacks: [(&str, Vec<Vec<u8>>); 7] = [
        ("dots", vec![member(b'0', "../secret", "", b"evil")]),
        (
            "dots inside",
            vec![
                member(b'5', "a/", "", b""),
                member(b'0', "a/../../secret", "", b"evil"),
            ],
        ),
        ("absolute", vec![member(b'0', "/secret", "", b"evil")]),
        (
            "a link",
            vec![
                member(b'2', "up", "..", b""),
                member(b'0', "up/secret", "", b"evil"),
            ],
        ),
        (
            "a link in a new folder",
            vec![
                member(b'5', "a/", "", b""),
                member(b'2', "a/up", "../..", b""),
                member(b'0', "a/up/secret", "", b"evil"),
            ],
        ),
        (
            "a hard link",
            vec![
                member(b'1', "name", "../secret", b""),
                member(b'0', "name", "", b"evil"),
            ],
        ),
        (
            "a hard link through a link",
            vec![
                member(b'2', "up", "..", b""),
                member(b'1', "name", "up/secret", b""),
                member(b'0', "name", "", b"evil"),
            ],
        ),
    ];
    for (what, members) in attacks {
        for placement in [Placement::Inside, Placement::Copy] {
            let home = home();
            let _ = unpack_bytes(
                &members.concat(),
                home.path().join("into"),
                placement,
                Keep::default(),
            );
            assert_eq!(fs::read(home.path().join("secret")).unwrap(), b"secret", "{what}");
            assert_eq!(names(home.path()), ["into", "secret"], "{what}");
            assert_eq!(
                home.path()
                    .join("secret")
                    .metadata()
                    .unwrap()
                    .permissions()
                    .mode()
                    & 0o7777,
                0o644
            );
        }
    }
}

#[test]
fn a_link_that_is_there_already_is_replaced_and_never_written_through() {
    let home = home();
    symlink("../secret", home.path().join("into/name")).unwrap();
    symlink("..", home.path().join("into/up")).unwrap();
    let into = home.path().join("into");
    unpack_bytes(
        &member(b'0', "name", "", b"evil"),
        &into,
        Placement::Inside,
        Keep::default(),
    )
    .unwrap();
    assert_eq!(fs::read(into.join("name")).unwrap(), b"evil");
    let error = unpack_bytes(
        &member(b'5', "up/", "", b""),
        &into,
        Placement::Inside,
        Keep::default(),
    );
    assert!(
        error
            .unwrap_err()
            .line()
            .contains("`up` is there and is not a folder")
    );
    assert_eq!(fs::read(home.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn devices_are_left_out_and_set_id_bits_dropped() {
    let home = home();
    let stream = [
        member(b'3', "null", "", b""),
        member(b'6', "pipe", "", b""),
        member(b'0', "su", "", b"x"),
    ]
    .concat();
    let into = home.path().join("into");
    for keep in [
        Keep::default(),
        Keep {
            owners: true,
            modes: true,
            privileges: false,
        },
    ] {
        let summary = unpack_bytes(&stream, &into, Placement::Inside, keep).unwrap();
        assert_eq!(summary.warnings.len(), 2, "{summary:?}");
        assert_eq!(names(&into), ["su"]);
        assert_eq!(
            into.join("su").metadata().unwrap().permissions().mode() & 0o7777,
            0o755
        );
    }
}

#[test]
fn a_stream_that_breaks_off_leaves_nothing_half_under_its_final_name() {
    let home = home();
    let tree = home.path().join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    for name in ["one", "two", "sub/three"] {
        fs::write(tree.join(name), name.repeat(500)).unwrap();
    }
    let stream = pack(&tree, PackOptions::default());
    let whole = |path: &std::path::Path, name: &str| match fs::read(path.join(name)) {
        Ok(data) => data == name.repeat(500).as_bytes(),
        Err(_) => true,
    };
    for length in (0..stream.len() - 1024).step_by(97) {
        let fresh = home.path().join("fresh");
        unpack_broken(&stream, length, &fresh).unwrap_err();
        assert!(!fresh.exists(), "at {length}");
        let there = home.path().join("there");
        fs::create_dir_all(there.join("tree/sub")).unwrap();
        unpack_broken(&stream, length, &there).unwrap_err();
        for name in ["one", "two", "sub/three"] {
            assert!(whole(&there.join("tree"), name), "{name} at {length}");
        }
        let left = names(&there.join("tree"));
        assert!(
            left.iter().all(|name| !name.starts_with('.')),
            "at {length}: {left:?}"
        );
        fs::remove_dir_all(&there).unwrap();
        assert_eq!(names(home.path()), ["into", "secret", "tree"]);
    }
}

#[test]
fn entries_of_a_second_tree_are_refused() {
    let home = home();
    let stream = [member(b'5', "tree/", "", b""), member(b'0', "other", "", b"x")].concat();
    let target = home.path().join("fresh");
    let error = unpack_bytes(&stream, &target, Placement::Copy, Keep::default()).unwrap_err();
    assert!(
        error.line().contains("`other` came in the place of `tree`"),
        "{}",
        error.line()
    );
    assert_eq!(names(home.path()), ["into", "secret"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let home = home();
        let _ = unpack_bytes(&bytes, home.path().join("into"), Placement::Inside, Keep::default());
        prop_assert_eq!(names(home.path()), ["into", "secret"]);
    }

    #[test]
    fn no_members_make_it_panic_or_leave_its_target(
        members in proptest::collection::vec(
            (prop_oneof![Just(b'0'), Just(b'1'), Just(b'2'), Just(b'5'), Just(b'x'), Just(b'g'), Just(b'S'), Just(b'L'), any::<u8>()],
             "(\\.\\./|a/|b/|/|\\./){0,3}[ab.]{0,2}", "(\\.\\./|a/|/){0,2}[ab.]{0,2}",
             proptest::collection::vec(any::<u8>(), 0..20)), 1..12),
    ) {
        let home = home();
        let stream: Vec<u8> = members.iter().flat_map(|(kind, name, link, data)| member(*kind, name, link, data)).collect();
        let _ = unpack_bytes(&stream, home.path().join("into"), Placement::Inside, Keep::default());
        prop_assert_eq!(names(home.path()), ["into", "secret"]);
        prop_assert_eq!(fs::read(home.path().join("secret")).unwrap(), b"secret");
    }
}
