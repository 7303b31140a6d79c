//! What goes on from a hostile stream to something that unpacks with less care.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use archive::{ArchiveError, Keep, PackOptions, Pieces, Summary, Top, sift};
use bytes::Bytes;
use proptest::prelude::*;
use tempfile::tempdir;

use crate::support::{member, names, pack, with_records};

fn sifted(stream: &[u8], path: &str, keep: Keep) -> (Result<Summary, ArchiveError>, Vec<u8>) {
    let mut pieces: Vec<Bytes> = stream.chunks(700).rev().map(Bytes::copy_from_slice).collect();
    let mut passed = Vec::new();
    let summary = sift(
        Pieces::new(|| Ok(pieces.pop())),
        &Top::of(Path::new(path)),
        keep,
        &mut |piece| {
            passed.extend_from_slice(&piece);
            Ok(())
        },
    );
    (summary, passed)
}

/// What tar finds in a stream: type and mode, then the name.
fn listed(stream: &[u8]) -> Vec<String> {
    let folder = tempdir().unwrap();
    let file = folder.path().join("stream.tar");
    fs::write(&file, stream).unwrap();
    let output = Command::new("tar").args(["tvf"]).arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {}", words[0], words[5..].join(" "))
        })
        .collect()
}

#[test]
fn an_honest_tree_comes_through_as_it_was() {
    let folder = tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("sub").join("n".repeat(120))).unwrap();
    fs::write(tree.join("sub/file"), vec![7; 700_001]).unwrap();
    fs::hard_link(tree.join("sub/file"), tree.join("second")).unwrap();
    symlink("sub/file", tree.join("link")).unwrap();
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    sparse.set_len(32 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 16 << 20).unwrap();
    for (path, top) in [(tree.clone(), "/srv/tree"), (tree.join("."), "/srv/.")] {
        for archive in [false, true] {
            let keep = Keep {
                owners: archive,
                modes: true,
                privileges: false,
            };
            let stream = pack(&path, PackOptions { archive });
            let (summary, passed) = sifted(&stream, top, keep);
            assert_eq!(summary.unwrap().entries, 7);
            assert_eq!(passed, stream, "{top}, {archive}");
        }
    }
}

#[test]
fn what_is_not_of_the_tree_does_not_go_on_and_the_stream_says_that_it_broke_off() {
    let tree = || member(b'5', "tree/", "", b"");
    for (what, stream) in [
        ("another name", vec![member(b'0', ".bashrc", "", b"evil")]),
        (
            "a second tree",
            vec![tree(), member(b'0', ".bashrc", "", b"evil")],
        ),
        (
            "the folder above",
            vec![tree(), member(b'0', "tree/../.bashrc", "", b"evil")],
        ),
        ("a root path", vec![tree(), member(b'0', "/.bashrc", "", b"evil")]),
        (
            "behind a link",
            vec![
                tree(),
                member(b'2', "tree/up", "..", b""),
                member(b'0', "tree/up/.bashrc", "", b"evil"),
            ],
        ),
        (
            "behind a link that was a folder",
            vec![
                tree(),
                member(b'5', "tree/up/", "", b""),
                member(b'2', "tree/up", "..", b""),
                member(b'0', "tree/up/.bashrc", "", b"evil"),
            ],
        ),
        (
            "a folder in a link's place",
            vec![
                tree(),
                member(b'2', "tree/up", "..", b""),
                member(b'5', "tree/up/", "", b""),
                member(b'0', "tree/up/.bashrc", "", b"evil"),
            ],
        ),
        (
            "behind another name of a link",
            vec![
                tree(),
                member(b'2', "tree/up", "..", b""),
                member(b'1', "tree/second", "tree/up", b""),
                member(b'0', "tree/second/.bashrc", "", b"evil"),
            ],
        ),
        (
            "a second name through a link",
            vec![
                tree(),
                member(b'2', "tree/up", "..", b""),
                member(b'1', "tree/file", "tree/up/.bashrc", b""),
            ],
        ),
        (
            "a file over a link",
            vec![
                tree(),
                member(b'2', "tree/out", "../victim", b""),
                member(b'0', "tree/out", "", b"evil"),
            ],
        ),
        (
            "a second name over a link",
            vec![
                tree(),
                member(b'0', "tree/file", "", b"evil"),
                member(b'2', "tree/out", "../victim", b""),
                member(b'1', "tree/out", "tree/file", b""),
            ],
        ),
        (
            "a file over a link's second name",
            vec![
                tree(),
                member(b'2', "tree/out", "../victim", b""),
                member(b'1', "tree/second", "tree/out", b""),
                member(b'0', "tree/second", "", b"evil"),
            ],
        ),
        (
            "a file over the tree's own link",
            vec![
                member(b'2', "tree", "victim", b""),
                member(b'0', "tree", "", b"evil"),
            ],
        ),
        (
            "a second name out of it",
            vec![tree(), member(b'1', "tree/file", ".bashrc", b"")],
        ),
    ] {
        let (summary, passed) = sifted(&stream.concat(), "/x/tree", Keep::default());
        let error = summary.unwrap_err();
        assert!(
            matches!(error, ArchiveError::Another { .. } | ArchiveError::Refused { .. }),
            "{what}: {error:?}"
        );
        assert!(
            !listed(&passed).iter().any(|line| line.contains(".bashrc")),
            "{what}"
        );
        let text = String::from_utf8_lossy(&passed);
        assert!(
            text.contains("BANGER.failure="),
            "{what}: a receiver would take it for whole"
        );
    }
}

#[test]
fn set_id_bits_capabilities_and_devices_do_not_go_on_whatever_is_kept() {
    let capability = with_records(
        &[
            ("SCHILY.xattr.security.capability", "abc"),
            ("SCHILY.xattr.user.x", "y"),
        ],
        member(b'0', "tree/cap", "", b"x"),
    );
    let stream = [
        member(b'5', "tree/", "", b""),
        member(b'0', "tree/su", "", b"x"),
        member(b'3', "tree/mem", "", b""),
        member(b'6', "tree/pipe", "", b""),
        capability,
    ]
    .concat();
    for archive in [false, true] {
        let keep = Keep {
            owners: archive,
            modes: archive,
            privileges: archive,
        };
        let (summary, passed) = sifted(&stream, "/x/tree", keep);
        assert_eq!(summary.unwrap().warnings.len(), 2);
        let listed = listed(&passed);
        assert_eq!(listed.len(), 3, "{listed:?}");
        let modes: Vec<&str> = listed.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(modes, ["drwxr-xr-x", "-rwxr-xr-x", "-rwxr-xr-x"], "{listed:?}");
        let text = String::from_utf8_lossy(&passed);
        assert!(!text.contains("security.capability"));
        assert_eq!(text.contains("SCHILY.xattr.user.x"), archive);
    }
}

#[test]
fn modes_that_go_on_obey_the_umask_unless_they_are_kept() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let umask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .unwrap();
    let umask = u32::from_str_radix(umask.trim(), 8).unwrap();
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    fs::set_permissions(folder.path().join("file"), fs::Permissions::from_mode(0o777)).unwrap();
    let stream = pack(folder.path().join("file"), PackOptions::default());
    let (_, passed) = sifted(&stream, "/file", Keep::default());
    let mode = u32::from_str_radix(std::str::from_utf8(&passed[100..107]).unwrap(), 8).unwrap();
    assert_eq!(mode, 0o777 & !umask, "{mode:o}");
}

#[test]
fn nobody_who_takes_it_is_waited_for() {
    let stream = [member(b'0', "file", "", &vec![1; 3 << 20]), vec![0; 1024]].concat();
    let mut taken = 0;
    let error = sift(
        stream.as_slice(),
        &Top::of(Path::new("file")),
        Keep::default(),
        &mut |_| {
            taken += 1;
            Err(std::io::ErrorKind::BrokenPipe.into())
        },
    )
    .unwrap_err();
    assert!(matches!(error, ArchiveError::Stream { .. }), "{error:?}");
    assert!(taken <= 2, "{taken}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Unpacked by the least careful of readers that there is: names are joined and links followed.
    #[test]
    fn whatever_goes_on_stays_below_its_top_even_where_links_are_followed(
        members in proptest::collection::vec(
            (prop_oneof![Just(b'0'), Just(b'1'), Just(b'2'), Just(b'5')],
             "(t/|\\./)(\\.\\./|a/|b/|/){0,3}[ab.]{0,2}", "(\\.\\./|t/|a/|/){0,3}[ab.]{0,2}"), 1..12),
    ) {
        let folder = tempdir().unwrap();
        fs::create_dir(folder.path().join("into")).unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("b"), "mine").unwrap();
        let stream: Vec<u8> = members.iter().flat_map(|(kind, name, link)| member(*kind, name, link, b"evil")).collect();
        let (_, passed) = sifted(&stream, "/x/t", Keep::default());
        let mut tar = Command::new("tar")
            .args(["xP", "-C"])
            .arg(folder.path().join("into"))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _ = std::io::Write::write_all(&mut tar.stdin.take().unwrap(), &passed);
        tar.wait().unwrap();
        prop_assert_eq!(names(folder.path()), ["a", "b", "into"]);
        prop_assert!(names(&folder.path().join("into")).iter().all(|name| name == "t"));
        prop_assert!(names(&folder.path().join("a")).is_empty());
        prop_assert_eq!(folder.path().join("b").metadata().unwrap().nlink(), 1);
        prop_assert_eq!(fs::read(folder.path().join("b")).unwrap(), b"mine");
    }
}
