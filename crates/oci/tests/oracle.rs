//! The merged tree, file by file with every attribute, against what `umoci unpack` as root puts on a disk.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use oci::{Cancel, Compression, Kind, Platform};
use support::tar::{Meta, Tar};
use support::{Flat, TAG, TestImage, flatten, has};
use tar::EntryType;

/// What both sides must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: String,
    attributes: Option<Attributes>,
    /// All names of the same file, the first of them.
    first_name: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    seconds: i64,
    nanoseconds: i64,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

type Tree = BTreeMap<PathBuf, Seen>;

/// What lies on the disk.
fn on_disk(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut first: HashMap<u64, PathBuf> = HashMap::new();
    let mut open = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                open.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.push(root.to_owned());
    paths.sort();
    for path in paths {
        let data = path.symlink_metadata().unwrap();
        let kind = data.file_type();
        let name = match path.strip_prefix(root).unwrap() {
            name if name.as_os_str().is_empty() => PathBuf::from("."),
            name => name.to_owned(),
        };
        let (major, minor) = (rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev()));
        let text = if kind.is_dir() {
            "directory".to_owned()
        } else if kind.is_symlink() {
            format!(
                "link {}",
                fs::read_link(&path)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .escape_ascii()
            )
        } else if kind.is_file() {
            format!("file {}", fs::read(&path).unwrap().escape_ascii())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            format!(
                "{} {major} {minor}",
                if kind.is_block_device() { 'b' } else { 'c' }
            )
        };
        let first_name = match kind.is_dir() {
            true => name.clone(),
            false => first.entry(data.ino()).or_insert_with(|| name.clone()).clone(),
        };
        let attributes = Attributes {
            // Linux gives every link 0777, whatever an archive says.
            mode: if kind.is_symlink() {
                0o777
            } else {
                data.mode() & 0o7777
            },
            uid: data.uid(),
            gid: data.gid(),
            seconds: data.mtime(),
            nanoseconds: data.mtime_nsec(),
            xattrs: xattrs(&path),
        };
        tree.insert(
            name,
            Seen {
                kind: text,
                attributes: Some(attributes),
                first_name,
            },
        );
    }
    tree
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut list).unwrap();
    let names = list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(length);
        value
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// What came out of the stream, with the directories that no layer describes.
fn flattened(flat: &[Flat]) -> Tree {
    let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
    let mut tree = Tree::new();
    for (entry, data) in flat {
        let name = path(&entry.path);
        if let Kind::HardLink { target } = &entry.kind {
            let seen = tree[&path(target)].clone();
            tree.insert(name, seen);
            continue;
        }
        let kind = match &entry.kind {
            Kind::File { .. } => format!("file {}", data.escape_ascii()),
            Kind::Directory => "directory".to_owned(),
            Kind::Symlink { target } => format!("link {}", target.escape_ascii()),
            Kind::CharacterDevice { major, minor } => format!("c {major} {minor}"),
            Kind::BlockDevice { major, minor } => format!("b {major} {minor}"),
            Kind::Fifo => "fifo".to_owned(),
            Kind::HardLink { .. } => unreachable!("handled above"),
            Kind::Socket => unreachable!("no archive holds one"),
        };
        let attributes = Attributes {
            mode: if matches!(entry.kind, Kind::Symlink { .. }) {
                0o777
            } else {
                entry.mode
            },
            uid: entry.uid,
            gid: entry.gid,
            seconds: entry.modified.seconds,
            nanoseconds: entry.modified.nanoseconds.into(),
            xattrs: entry
                .xattrs
                .iter()
                .map(|xattr| (xattr.name.clone(), xattr.value.clone()))
                .collect(),
        };
        tree.insert(
            name.clone(),
            Seen {
                kind,
                attributes: Some(attributes),
                first_name: name,
            },
        );
    }
    let names: Vec<PathBuf> = tree.keys().cloned().collect();
    for name in names {
        for parent in name.ancestors().skip(1) {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            tree.entry(parent.to_owned()).or_insert_with(|| Seen {
                kind: "directory".to_owned(),
                attributes: None,
                first_name: parent.to_owned(),
            });
        }
    }
    // The stream may give the names of a file in any order; which is first is the disk's word.
    let mut first: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for (name, seen) in &tree {
        first
            .entry(seen.first_name.clone())
            .or_insert_with(|| name.clone());
    }
    for seen in tree.values_mut() {
        seen.first_name = first[&seen.first_name].clone();
    }
    tree
}

fn compare(what: &str, archives: &[Tar]) {
    let archives: Vec<_> = archives
        .iter()
        .map(|tar| (tar.clone().finish(), Compression::Gzip))
        .collect();
    let image = TestImage::new(&archives);
    let bundle = image.folder.path().join("bundle");
    let output = Command::new("umoci")
        .args(["unpack", "--keep-dirlinks=false", "--image"])
        .arg(format!("{}:{TAG}", image.folder.path().display()))
        .arg(&bundle)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{what}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut expected = on_disk(&bundle.join("rootfs"));
    let opened = oci::open_layout(
        image.folder.path(),
        Some(TAG),
        Platform::Amd64,
        &Cancel::default(),
    )
    .unwrap();
    let found = flattened(&flatten(&opened.layers).unwrap());
    for (name, seen) in &mut expected {
        // A directory that no layer describes has whatever attributes its maker likes.
        if found.get(name).is_none_or(|found| found.attributes.is_none()) && seen.kind == "directory" {
            seen.attributes = None;
        }
    }
    if !found.contains_key(Path::new(".")) {
        expected.remove(Path::new("."));
    }
    for (name, seen) in &expected {
        assert_eq!(found.get(name), Some(seen), "{what}: {}", name.display());
    }
    for name in found.keys() {
        assert!(
            expected.contains_key(name),
            "{what}: {} is too much",
            name.display()
        );
    }
}

#[test]
fn the_merged_tree_is_what_umoci_unpacks() {
    if !has("umoci") || !rustix::process::geteuid().is_root() {
        eprintln!("left out: needs umoci (Debian package `umoci`) and root");
        return;
    }
    let meta = |mode, uid, gid| Meta {
        mode,
        uid,
        gid,
        mtime: 1_234_567_890,
    };
    let base = || {
        Tar::new()
            .dir("./")
            .dir("etc")
            .file("etc/passwd", "root")
            .file("etc/shadow", "x")
            .dir("usr")
            .dir("usr/bin")
            .file("usr/bin/sh", "sh")
            .link("usr/bin/bash", "usr/bin/sh")
            .symlink("bin", "usr/bin")
            .dir("var")
            .dir("var/lib")
            .file("var/lib/a", "1")
            .file("var/lib/b", "2")
            .symlink("abs", "/etc/passwd")
            .symlink("dangling", "/nowhere/at/all")
    };
    let corpus: Vec<(&str, Vec<Tar>)> = vec![
        ("one layer", vec![base()]),
        (
            "attributes",
            vec![
                base()
                    .entry(EntryType::Regular, "suid", "", b"x", meta(0o4755, 1000, 2000))
                    .entry(EntryType::Directory, "tmp", "", b"", meta(0o1777, 0, 0))
                    .entry(EntryType::Symlink, "owned", "etc", b"", meta(0o777, 7, 8))
                    .record("SCHILY.xattr.user.a", b"line\nline\0\xff")
                    .record("SCHILY.xattr.trusted.b", b"t")
                    .record("mtime", b"1234567890.123456789")
                    .file("xattrs", "x")
                    .record(
                        "SCHILY.xattr.security.capability",
                        b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                    )
                    .file("capable", "x"),
            ],
        ),
        (
            "devices",
            vec![
                base()
                    .device(EntryType::Char, "null", 1, 3)
                    .device(EntryType::Block, "loop", 7, 0)
                    .device(EntryType::Fifo, "pipe", 0, 0),
            ],
        ),
        (
            "whiteouts",
            vec![
                base(),
                Tar::new()
                    .file("etc/.wh.shadow", "")
                    .file("usr/.wh.bin", "")
                    .file(".wh.nothing", ""),
            ],
        ),
        (
            "an opaque directory",
            vec![
                base(),
                Tar::new()
                    .dir("var/lib")
                    .file("var/lib/.wh..wh..opq", "")
                    .file("var/lib/c", "3"),
            ],
        ),
        (
            "an opaque directory, its mark last",
            vec![
                base(),
                Tar::new()
                    .dir("var/lib")
                    .file("var/lib/c", "3")
                    .file("var/lib/.wh..wh..opq", ""),
            ],
        ),
        (
            "a whiteout and a new one",
            vec![
                base(),
                Tar::new().file(".wh.etc", "").dir("etc").file("etc/new", "n"),
            ],
        ),
        (
            "kinds change",
            vec![
                base(),
                Tar::new()
                    .file("etc", "file")
                    .dir("bin")
                    .file("bin/x", "x")
                    .symlink("var", "usr"),
            ],
        ),
        (
            "and back",
            vec![
                base(),
                Tar::new().file("etc", "file"),
                Tar::new().dir("etc").file("etc/x", "x"),
            ],
        ),
        (
            "a link of an older layer on the path",
            vec![base(), Tar::new().file("bin/ls", "ls").link("bin/dir", "bin/ls")],
        ),
        (
            "a hard link to an older layer",
            vec![base(), Tar::new().link("etc/again", "etc/passwd")],
        ),
        (
            "the first name of a hard link goes",
            vec![
                base(),
                Tar::new().file("usr/bin/.wh.sh", ""),
                Tar::new().link("usr/bin/zsh", "usr/bin/bash"),
            ],
        ),
        (
            "one name of a hard link is replaced",
            vec![base(), Tar::new().file("usr/bin/sh", "new")],
        ),
        (
            "a hard link to a symbolic link",
            vec![base(), Tar::new().link("abs2", "abs")],
        ),
        (
            "a directory anew keeps what is in it",
            vec![
                base(),
                Tar::new().entry(EntryType::Directory, "etc", "", b"", meta(0o700, 1, 2)),
            ],
        ),
        (
            "a file over a link does not write through it",
            vec![base(), Tar::new().file("abs", "mine")],
        ),
        (
            "a path twice",
            vec![base().file("twice", "1").link("once", "twice").file("twice", "2")],
        ),
        (
            "strange names",
            vec![
                base()
                    .file("new\nline", "1")
                    .file(&"n".repeat(255), "2")
                    .file("sp ace\\", "3"),
            ],
        ),
        (
            "directories that nobody describes",
            vec![Tar::new().file("a/b/c/d", "1"), Tar::new().file("a/x/y", "2")],
        ),
        (
            "a long path",
            vec![Tar::new().file(&format!("{}f", "directory-of-some-length/".repeat(30)), "deep")],
        ),
    ];
    for (what, archives) in &corpus {
        compare(what, archives);
    }
}

#[test]
fn sparse_files_of_gnu_tar_read_as_their_holes_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holes");
    let file = fs::File::create(&path).unwrap();
    file.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 1 << 20).unwrap();
    let whole = fs::read(&path).unwrap();
    for format in [
        vec!["--format=gnu"],
        vec!["--format=posix", "--sparse-version=0.0"],
        vec!["--format=posix", "--sparse-version=0.1"],
        vec!["--format=posix", "--sparse-version=1.0"],
    ] {
        let output = Command::new("tar")
            .arg("-cS")
            .args(&format)
            .arg("-C")
            .arg(folder.path())
            .arg("holes")
            .output()
            .unwrap();
        assert!(output.stdout.len() < whole.len() / 2, "{format:?}");
        let flat = flatten(&support::layers(&[output.stdout])).unwrap();
        assert_eq!(flat[0].0.path, b"holes", "{format:?}");
        assert!(flat[0].1 == whole, "{format:?}");
    }
}
