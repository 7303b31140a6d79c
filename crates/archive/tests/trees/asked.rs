//! What was asked for and nothing else: names, modes and sizes that a stream makes up.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use archive::{ArchiveError, Keep, PackOptions, Placement, Summary, Top};
use tempfile::{TempDir, tempdir};

use crate::support::{member, names, pack, unpack_bytes, with_records};

/// A folder with what a user has, to copy into.
fn home() -> TempDir {
    let home = tempdir().unwrap();
    fs::write(home.path().join(".bashrc"), "mine").unwrap();
    fs::create_dir(home.path().join(".git")).unwrap();
    fs::write(home.path().join(".git/config"), "mine").unwrap();
    home
}

/// Copies what is called `path` in a guest into an existing folder.
fn copy(stream: &[u8], path: &str, into: &Path) -> Result<Summary, ArchiveError> {
    let top = Top::of(Path::new(path));
    unpack_bytes(stream, into, Placement::CopyOf(top), Keep::default())
}

fn assert_untouched(home: &Path, what: &str) {
    assert_eq!(names(home), [".bashrc", ".git"], "{what}");
    assert_eq!(names(&home.join(".git")), ["config"], "{what}");
    for file in [".bashrc", ".git/config"] {
        assert_eq!(fs::read(home.join(file)).unwrap(), b"mine", "{what}");
    }
}

#[test]
fn into_a_folder_that_is_there_comes_what_was_asked_for_and_nothing_else() {
    let lies: [(&str, Vec<Vec<u8>>); 11] = [
        ("another file", vec![member(b'0', ".bashrc", "", b"evil")]),
        (
            "another tree",
            vec![
                member(b'5', ".git/", "", b""),
                member(b'0', ".git/config", "", b"evil"),
            ],
        ),
        (
            "a folder that is implied",
            vec![member(b'0', ".git/config", "", b"evil")],
        ),
        (
            "what is in a folder",
            vec![
                member(b'5', "./", "", b""),
                member(b'0', "./.bashrc", "", b"evil"),
            ],
        ),
        ("the folder itself", vec![member(b'5', "/", "", b"")]),
        ("a link", vec![member(b'2', ".bashrc", "/dev/null", b"")]),
        (
            "a name that begins with it",
            vec![member(b'0', "report.txt.lnk", "", b"evil")],
        ),
        (
            "a name that it begins with",
            vec![member(b'0', "report", "", b"evil")],
        ),
        (
            "a name of other case",
            vec![member(b'0', "Report.txt", "", b"evil")],
        ),
        (
            "a way around it",
            vec![member(b'0', "report.txt/../.bashrc", "", b"evil")],
        ),
        (
            "a long name",
            vec![
                member(b'L', "x", "", b".bashrc\0"),
                member(b'0', "report.txt", "", b"evil"),
            ],
        ),
    ];
    for (what, members) in lies {
        let home = home();
        let error = copy(&members.concat(), "/x/report.txt", home.path()).unwrap_err();
        assert!(
            matches!(error, ArchiveError::Another { .. } | ArchiveError::Refused { .. }),
            "{what}: {error:?}"
        );
        assert_untouched(home.path(), what);
    }
}

#[test]
fn what_comes_beside_the_tree_that_was_asked_for_is_refused_and_what_was_not_there_is_left_out_again() {
    let second: [Vec<u8>; 5] = [
        member(b'0', ".bashrc", "", b"evil"),
        member(b'5', ".git/", "", b""),
        member(b'0', ".git/config", "", b"evil"),
        member(b'2', ".bashrc", "/dev/null", b""),
        member(b'1', ".bashrc", "tree/file", b""),
    ];
    for second in second {
        let home = home();
        let stream = [
            member(b'5', "tree/", "", b""),
            member(b'0', "tree/file", "", b"evil"),
            second,
        ]
        .concat();
        let error = copy(&stream, "/x/tree", home.path()).unwrap_err();
        assert!(
            error.line().ends_with("came in the place of `tree`: refused"),
            "{}",
            error.line()
        );
        assert_untouched(home.path(), "a second tree");
    }
    let home = home();
    let stream = [
        member(b'5', "tree/", "", b""),
        member(b'1', "tree/name", ".bashrc", b""),
    ]
    .concat();
    assert!(copy(&stream, "/x/tree", home.path()).is_err());
    assert_untouched(home.path(), "a second name for what is there");
}

#[test]
fn the_target_that_is_not_a_folder_gets_nothing_but_what_was_asked_for_either() {
    for (target, there) in [("fresh", false), ("old", true)] {
        let home = home();
        if there {
            fs::write(home.path().join(target), "mine").unwrap();
        }
        let stream = [
            member(b'0', "report.txt", "", b"good"),
            member(b'0', ".bashrc", "", b"evil"),
        ]
        .concat();
        copy(&stream, "/x/report.txt", &home.path().join(target)).unwrap_err();
        assert_eq!(fs::read(home.path().join(".bashrc")).unwrap(), b"mine");
        copy(
            &member(b'0', "x", "", b"evil"),
            "/x/report.txt",
            &home.path().join("other"),
        )
        .unwrap_err();
        assert_eq!(names(home.path()), [".bashrc", ".git", target]);
    }
}

#[test]
fn only_a_path_that_ends_in_a_dot_puts_names_of_the_guests_into_a_folder_that_is_there() {
    let stream = [member(b'5', "./", "", b""), member(b'0', "./new", "", b"new")].concat();
    for path in ["/", "..", "/x/.."] {
        let home = home();
        let error = copy(&stream, path, home.path()).unwrap_err();
        assert!(
            error.line().contains("what is copied has no name"),
            "{}",
            error.line()
        );
        assert_untouched(home.path(), path);
        copy(&stream, path, &home.path().join("fresh")).unwrap();
        assert_eq!(names(&home.path().join("fresh")), ["new"]);
    }
    let home = home();
    copy(&stream, "/x/.", home.path()).unwrap();
    assert_eq!(names(home.path()), [".bashrc", ".git", "new"]);
}

#[test]
fn a_link_of_the_users_own_in_the_place_of_the_tree_is_not_followed() {
    let home = home();
    symlink(".git", home.path().join("tree")).unwrap();
    let stream = [
        member(b'5', "tree/", "", b""),
        member(b'0', "tree/config", "", b"evil"),
    ]
    .concat();
    let error = copy(&stream, "/x/tree", home.path()).unwrap_err();
    assert!(
        error.line().contains("`tree` is there and is not a folder"),
        "{}",
        error.line()
    );
    assert_eq!(fs::read(home.path().join(".git/config")).unwrap(), b"mine");
}

/// A header that claims a hole of this size.
fn hole(name: &str, size: u64) -> Vec<u8> {
    let mut data = b"1\n0\n1\n".to_vec();
    data.resize(512, 0);
    data.push(b'A');
    let size = size.to_string();
    let records = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", name),
        ("GNU.sparse.realsize", &size),
    ];
    with_records(&records, member(b'0', "GNUSparseFile.0/x", "", &data))
}

#[test]
fn a_copy_never_creates_more_apparent_bytes_than_there_is_room_for() {
    let home = home();
    let room = rustix::fs::statvfs(home.path()).unwrap();
    let room = room.f_bavail * room.f_frsize;
    for size in [1 << 50, i64::MAX as u64, room + (1 << 30)] {
        let error = copy(&hole("disk", size), "/x/disk", home.path()).unwrap_err();
        assert!(
            error.line().contains("no space left for `disk`"),
            "{}",
            error.line()
        );
        assert_untouched(home.path(), "a hole");
    }
    // Together, too.
    let parts: Vec<u8> = (0..5)
        .flat_map(|part| hole(&format!("tree/{part}"), room / 3))
        .collect();
    let stream = [member(b'5', "tree/", "", b""), parts].concat();
    let error = copy(&stream, "/x/tree", home.path()).unwrap_err();
    assert!(error.line().contains("and there is room for"), "{}", error.line());
    assert_untouched(home.path(), "many holes");
    copy(&hole("disk", 8 << 20), "/x/disk", home.path()).unwrap();
    assert_eq!(home.path().join("disk").metadata().unwrap().len(), 8 << 20);
    // A length without holes is held against the room before the first byte is written.
    let mut claims = member(b'0', "large", "", b"");
    claims[124..136].copy_from_slice(&[&[0x80, 0, 0, 0][..], &(room + (1 << 30)).to_be_bytes()].concat());
    resum(&mut claims);
    let error = copy(&claims, "/x/large", home.path()).unwrap_err();
    assert!(
        error.line().contains("no space left for `large`"),
        "{}",
        error.line()
    );
}

#[test]
fn what_follows_the_end_of_an_archive_is_not_read_for_ever() {
    let home = home();
    let mut stream = member(b'0', "report.txt", "", b"good");
    stream.resize(stream.len() + (10 << 10), 0);
    copy(&stream, "/x/report.txt", home.path()).unwrap();
    stream.resize(stream.len() + (3 << 20), 0);
    let error = copy(&stream, "/x/report.txt", home.path()).unwrap_err();
    assert!(
        error.line().contains("it goes on behind its end"),
        "{}",
        error.line()
    );
}

#[test]
fn what_a_stream_says_is_cut_where_it_is_too_long_for_a_line() {
    let home = home();
    let why = "x".repeat(100_000);
    let failure = with_global(&[("BANGER.failure", &why)]);
    for stream in [
        [member(b'0', "report.txt", "", b"good"), failure].concat(),
        with_records(&[("path", &why)], member(b'0', "x", "", b"evil")),
        with_records(&[("path", &why)], member(b'Z', "x", "", b"evil")),
    ] {
        let error = copy(&stream, "/x/report.txt", home.path()).unwrap_err();
        assert!(error.line().len() < 3000, "{}", error.line().len());
    }
}

fn with_global(records: &[(&str, &str)]) -> Vec<u8> {
    let mut stream = with_records(records, Vec::new());
    stream[156] = b'g';
    resum(&mut stream);
    stream
}

/// Puts the checksum of the first header right.
fn resum(stream: &mut [u8]) {
    stream[148..156].fill(b' ');
    let sum: u32 = stream[..512].iter().map(|byte| u32::from(*byte)).sum();
    stream[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

#[test]
fn modes_obey_the_umask_unless_they_are_to_be_kept() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let umask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .unwrap();
    let umask = u32::from_str_radix(umask.trim(), 8).unwrap();
    let home = tempdir().unwrap();
    let tree: PathBuf = home.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "x").unwrap();
    for path in [&tree, &tree.join("file")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // A folder that no member tells of is one more.
    let stream = [pack(&tree, PackOptions::default()), Vec::new()].concat();
    let told = member(b'0', "tree/untold/file", "", b"x");
    let stream = [&stream[..stream.len() - 1024], &told].concat();
    for modes in [false, true] {
        let back = home.path().join(format!("back-{modes}"));
        let keep = Keep {
            modes,
            ..Keep::default()
        };
        unpack_bytes(&stream, &back, Placement::CopyOf(Top::of(&tree)), keep).unwrap();
        let taken = if modes { 0 } else { umask };
        for (path, mode) in [
            ("", 0o777),
            ("file", 0o777),
            ("untold", 0o755),
            ("untold/file", 0o755),
        ] {
            let found = back.join(path).metadata().unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode & !taken, "{path} with {modes}: {found:o}");
        }
    }
}
