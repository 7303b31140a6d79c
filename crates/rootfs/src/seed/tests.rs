use std::collections::BTreeMap;
use std::io::{Cursor, Seek as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

/// A file that holds these bytes.
fn holding(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn converted(file: File) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    convert(file, &mut out)
        .map(|()| out)
        .map_err(|error| error.to_string())
}

/// Path to kind, mode and content.
fn members(tar: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(Cursor::new(tar));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let link = entry.link_name().unwrap().map(|link| link.display().to_string());
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let kind = header.entry_type();
        (
            path,
            format!(
                "{kind:?} {:o} {}",
                header.mode().unwrap(),
                link.unwrap_or(content)
            ),
        )
    });
    entries.collect()
}

fn home() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at(".ssh")).unwrap();
    std::fs::set_permissions(at(".ssh"), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(at(".ssh/config"), "Host *\n").unwrap();
    std::fs::set_permissions(at(".ssh/config"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(at("script"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(at("script"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("/etc/profile", at(".profile")).unwrap();
    std::fs::create_dir_all(at(&"n".repeat(150))).unwrap();
    std::fs::write(at(&"n".repeat(150)).join("long"), "deep").unwrap();
    folder
}

fn expected() -> BTreeMap<String, String> {
    let long = "n".repeat(150);
    [
        (".ssh/".to_owned(), "Directory 700 "),
        (".ssh/config".to_owned(), "Regular 600 Host *\n"),
        ("script".to_owned(), "Regular 755 #!/bin/sh\n"),
        (".profile".to_owned(), "Symlink 777 /etc/profile"),
        (format!("{long}/"), "Directory 755 "),
        (format!("{long}/long"), "Regular 644 deep"),
    ]
    .into_iter()
    .map(|(path, what)| (path.trim_end_matches('/').to_owned(), what.to_owned()))
    .collect()
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    output.stdout
}

fn packed(folder: &Path, options: &[&str]) -> File {
    let folder = folder.to_str().unwrap();
    let arguments = [&["-C", folder, "-cf", "-"], options, &["."]].concat();
    holding(&run("tar", &arguments))
}

#[test]
fn tars_of_every_kind_become_the_same_plain_one() {
    let home = home();
    for options in [
        &[][..],
        &["--format=pax"],
        &["--format=gnu", "-z"],
        &["--zstd"],
        &["-J"],
    ] {
        let tar = converted(packed(home.path(), options)).unwrap();
        assert_eq!(members(&tar), expected(), "{options:?}");
    }
}

#[test]
fn a_file_system_becomes_the_same_as_a_tar_of_it() {
    let home = home();
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(16 << 20).unwrap();
    let (from, to) = (home.path().to_str().unwrap(), disk.path().to_str().unwrap());
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", from, to]);
    let tar = converted(disk.reopen().unwrap()).unwrap();
    assert_eq!(members(&tar), expected());
    // A damaged one is told, and nothing else happens.
    let bytes = std::fs::read(disk.path()).unwrap();
    for at in (1024..bytes.len()).step_by(4096 * 31) {
        let mut damaged = bytes.clone();
        for byte in &mut damaged[at..(at + 64).min(bytes.len())] {
            *byte = !*byte;
        }
        let _ = converted(holding(&damaged));
    }
}

/// A tar with one member of that kind.
fn one(kind: tar::EntryType, path: &[u8], link: Option<&str>, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_device_major(1).unwrap();
    header.set_device_minor(3).unwrap();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    if let Some(link) = link {
        header.set_link_name(link).unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(3 * 512, 0);
    bytes
}

#[test]
fn what_a_home_does_not_hold_is_refused_by_its_name() {
    use tar::EntryType;
    let refused = |bytes: &[u8]| converted(holding(bytes)).unwrap_err();
    for (bytes, said) in [
        (
            one(EntryType::Regular, b"../out", None, 0),
            "`../out` in it is not a path",
        ),
        (
            one(EntryType::Regular, b"a/../../b", None, 0),
            "`a/../../b` in it",
        ),
        (one(EntryType::Link, b"a", Some("../b"), 0), "`../b` in it"),
        (one(EntryType::Char, b"null", None, 0), "`null` in it is a device"),
        (one(EntryType::Fifo, b"p\n", None, 0), "in it is a device, a pipe"),
        (
            one(EntryType::Regular, b"big", None, 5 << 30),
            "it holds more than",
        ),
        (one(EntryType::Regular, b"cut", None, 4096), "it cannot be read: "),
        (one(EntryType::Directory, b"./", None, 0), "it is empty"),
    ] {
        let error = refused(&bytes);
        assert!(error.contains(said), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    for bytes in [&b""[..], b"text", b"QFI\xfb", b"\x1f\x8b\x08"] {
        let error = refused(bytes);
        assert!(
            error.contains("neither a tar") || error.contains("broken"),
            "{error}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..3000), kind in 0..5) {
        let magic: &[u8] = match kind {
            0 => &[0x1f, 0x8b, 8],
            1 => &[0x28, 0xb5, 0x2f, 0xfd],
            2 => &[0xfd, b'7', b'z', b'X', b'Z', 0],
            _ => &[],
        };
        if bytes.len() > 600 {
            bytes[..magic.len()].copy_from_slice(magic);
            if kind == 3 {
                bytes[257..262].copy_from_slice(b"ustar");
            }
        }
        let _ = converted(holding(&bytes));
    }
}
