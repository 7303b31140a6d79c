//! Where a copy ends up: the table of `docker cp`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use archive::{ArchiveError, Keep, PackOptions, Placement, Source, Summary};
use tempfile::{TempDir, tempdir};

use crate::support::{names, pack, unpack_bytes};

fn home() -> TempDir {
    let folder = tempdir().unwrap();
    fs::create_dir_all(folder.path().join("tree/sub")).unwrap();
    fs::write(folder.path().join("tree/sub/file"), "new").unwrap();
    fs::write(folder.path().join("file"), "new").unwrap();
    fs::create_dir(folder.path().join("there")).unwrap();
    fs::write(folder.path().join("old"), "old").unwrap();
    folder
}

fn copy(home: &Path, from: &str, to: &str) -> Result<Summary, ArchiveError> {
    let path = format!("{}/{from}", home.display());
    let stream = pack(path, PackOptions::default());
    unpack_bytes(
        &stream,
        format!("{}/{to}", home.display()),
        Placement::Copy,
        Keep::default(),
    )
}

#[test]
fn a_copy_ends_up_where_docker_cp_would_put_it() {
    for (from, to, file) in [
        ("file", "fresh", "fresh"),
        ("file", "old", "old"),
        ("file", "there", "there/file"),
        ("file", "there/", "there/file"),
        ("tree", "fresh", "fresh/sub/file"),
        ("tree", "fresh/", "fresh/sub/file"),
        ("tree/", "there", "there/tree/sub/file"),
        ("tree", "there", "there/tree/sub/file"),
        ("tree/.", "there", "there/sub/file"),
        ("tree/.", "fresh", "fresh/sub/file"),
    ] {
        let home = home();
        copy(home.path(), from, to).unwrap();
        let found = fs::read(home.path().join(file)).unwrap_or_default();
        assert_eq!(found, b"new", "{from} to {to}");
    }
}

#[test]
fn a_copy_that_makes_no_sense_is_refused_with_the_path() {
    for (from, to) in [
        ("file", "fresh/"),
        ("file", "old/"),
        ("tree", "old"),
        ("tree/.", "old"),
        ("file", "no/such/folder"),
        ("tree", "no/such"),
    ] {
        let home = home();
        let error = copy(home.path(), from, to).unwrap_err().line();
        let named = to.split('/').next().unwrap();
        assert!(error.contains(named), "{from} to {to}: {error}");
        assert_eq!(
            names(home.path()),
            ["file", "old", "there", "tree"],
            "{from} to {to}"
        );
        assert_eq!(fs::read(home.path().join("old")).unwrap(), b"old");
    }
    let home = home();
    assert!(Source::open(&home.path().join("nothing"), false).is_err());
    assert!(Source::open(Path::new("/dev/null"), false).is_err());
    assert!(Source::open(&home.path().join("file/"), false).is_err());
}

#[test]
fn a_link_is_copied_as_a_link_unless_it_is_to_be_followed() {
    let home = home();
    symlink("file", home.path().join("link")).unwrap();
    copy(home.path(), "link", "there").unwrap();
    assert_eq!(
        fs::read_link(home.path().join("there/link")).unwrap(),
        Path::new("file")
    );
    let mut stream = Vec::new();
    let source = Source::open(&home.path().join("link"), true).unwrap();
    assert_eq!(source.size(), Some(3));
    source
        .pack(PackOptions::default(), &mut |piece| {
            stream.extend_from_slice(&piece);
            Ok(())
        })
        .unwrap();
    unpack_bytes(
        &stream,
        home.path().join("followed"),
        Placement::Copy,
        Keep::default(),
    )
    .unwrap();
    assert!(home.path().join("followed").symlink_metadata().unwrap().is_file());
}

#[test]
fn a_file_goes_where_a_link_at_its_target_leads_as_with_cp() {
    for (link, to, file) in [
        ("old", "link", "old"),
        ("there/old", "link", "there/old"),
        ("second", "link", "old"),
        ("/", "link", "old"),
        ("old", "there/../link", "old"),
    ] {
        let home = home();
        fs::write(home.path().join("there/old"), "old").unwrap();
        symlink("old", home.path().join("second")).unwrap();
        let link = match link {
            "/" => home.path().join("old"),
            link => link.into(),
        };
        symlink(&link, home.path().join("link")).unwrap();
        let before = names(home.path());
        copy(home.path(), "file", to).unwrap();
        assert_eq!(fs::read_link(home.path().join("link")).unwrap(), link);
        assert_eq!(fs::read(home.path().join(file)).unwrap(), b"new", "{link:?}");
        assert_eq!(names(home.path()), before);
        assert_eq!(names(&home.path().join("there")), ["old"]);
    }
}

#[test]
fn a_link_that_leads_to_nothing_stays_and_nothing_is_made_for_it() {
    for (from, to) in [
        ("file", "link"),
        ("tree", "link"),
        ("tree", "link/"),
        ("file", "link/"),
        ("tree/.", "link"),
        ("file", "loop"),
        ("tree", "file-link"),
    ] {
        let home = home();
        symlink("nowhere", home.path().join("link")).unwrap();
        symlink("loop", home.path().join("loop")).unwrap();
        symlink("old", home.path().join("file-link")).unwrap();
        let before = names(home.path());
        let error = copy(home.path(), from, to).unwrap_err().line();
        assert!(error.contains(to), "{from} to {to}: {error}");
        assert_eq!(names(home.path()), before, "{from} to {to}");
        assert_eq!(fs::read(home.path().join("old")).unwrap(), b"old");
        assert_eq!(
            fs::read_link(home.path().join("link")).unwrap(),
            Path::new("nowhere")
        );
    }
}

#[test]
fn a_link_takes_the_place_of_a_link() {
    let home = home();
    symlink("file", home.path().join("new")).unwrap();
    for (link, to) in [("to-old", "old"), ("to-nothing", "nothing")] {
        symlink(to, home.path().join(link)).unwrap();
        copy(home.path(), "new", link).unwrap();
        assert_eq!(fs::read_link(home.path().join(link)).unwrap(), Path::new("file"));
    }
    assert_eq!(fs::read(home.path().join("old")).unwrap(), b"old");
}

#[test]
fn no_file_takes_the_place_of_a_device_a_pipe_or_a_socket() {
    let home = home();
    let socket = std::os::unix::net::UnixListener::bind(home.path().join("socket")).unwrap();
    symlink("socket", home.path().join("link")).unwrap();
    for to in ["socket", "link"] {
        let refused = copy(home.path(), "file", to).unwrap_err().to_string();
        assert!(refused.contains("no file takes its place"), "{to}: {refused}");
    }
    drop(socket);
    let found = home.path().join("socket").symlink_metadata().unwrap();
    assert!(std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()));
}
